// The vector of the instruction set being compiled, and the tile of the matrix product that fits its registers.
#pragma once

namespace pyconv::PYCONV_ISA {
namespace {

// PYCONV_VECTOR_BYTES: 16 (SSE2, NEON), 32 (AVX2) or 64 (AVX-512), set by the source file that includes this.
// GCC and Clang turn arithmetic on these types into the vector instructions of the target.
// aligned(sizeof element): a vector may be loaded from any element of an array.
template <class T>
struct Simd;
template <>
struct Simd<float> {
    typedef float Vector __attribute__((vector_size(PYCONV_VECTOR_BYTES), aligned(4), may_alias));
};
template <>
struct Simd<double> {
    typedef double Vector __attribute__((vector_size(PYCONV_VECTOR_BYTES), aligned(8), may_alias));
};

template <class T>
using Vector = typename Simd<T>::Vector;

template <class T>
constexpr Index vector_lanes = PYCONV_VECTOR_BYTES / Index(sizeof(T));

// A tile of tile_rows x (tile_vectors vectors) accumulators: 24 of AVX-512's 32 registers, 12 of the 16 others have.
constexpr Index tile_rows = 6;
constexpr Index tile_vectors = PYCONV_VECTOR_BYTES == 64 ? 4 : 2;
template <class T>
constexpr Index tile_columns = tile_vectors * vector_lanes<T>;

template <class T>
inline void fill(T* to, Index count, T value) {
    for (Index i = 0; i < count; ++i) to[i] = value;
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
