// The matrix product that convolution and affine are made of, on one thread: C += A B.
//
//   A  (M, K)   read through an operand's pack(): panels of tile_rows rows
//   B  (K, N)   read through an operand's pack(): panels of tile_columns columns
//   C  (M, N)   row-major, rows `ldc` elements apart
//
// An operand is anything that can copy a few of its lanes (rows of A, columns of B) over a range of k into a
// panel, k by k. A matrix in memory is one; the column matrix of an image is another (convolution.hpp), which
// is how a convolution never has to write that matrix down.
//
// Blocking after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index block_k = 256;           // depth of a panel
constexpr Index block_m = 16 * tile_rows;  // rows of A packed at a time
template <class T>
constexpr Index block_n = 4 * tile_columns<T>;  // columns of B packed at a time

inline Index smaller(Index a, Index b) { return a < b ? a : b; }

// Elements of packing scratch that one thread's gemm wants.
template <class T>
constexpr Index gemm_scratch = block_k * (block_m + block_n<T>);

// A strided matrix in memory: element (lane, k) lies at data[lane * lane_step + k * k_step].
template <class T>
struct Matrix {
    const T* data;
    Index lane_step, k_step;

    void pack(Index lane, Index lanes, Index k, Index depth, T* panel, Index width) const {
        const T* from = data + lane * lane_step + k * k_step;
        if (lane_step == 1) {
            for (Index j = 0; j < depth; ++j)
                for (Index i = 0; i < lanes; ++i) panel[j * width + i] = from[j * k_step + i];
        } else {
            for (Index i = 0; i < lanes; ++i)
                for (Index j = 0; j < depth; ++j) panel[j * width + i] = from[i * lane_step + j * k_step];
        }
    }
};

// Lanes [lane, lane + lanes) of an operand as consecutive panels `width` wide, the last filled up with zeros.
template <class T, class Operand>
void pack_panels(const Operand& operand, Index lane, Index lanes, Index k, Index depth, T* panels, Index width) {
    for (Index begin = 0; begin < lanes; begin += width, panels += depth * width) {
        const Index count = smaller(width, lanes - begin);
        if (count < width) fill(panels, depth * width, T(0));
        operand.pack(lane + begin, count, k, depth, panels, width);
    }
}

// c (tile_rows x tile_columns) += a panel of A times a panel of B; every accumulator stays in a register.
template <class T>
inline void multiply_tile(Index depth, const T* a, const T* b, T* c, Index ldc) {
    Vector<T> sum[tile_rows][tile_vectors] = {};
    for (Index k = 0; k < depth; ++k, a += tile_rows, b += tile_columns<T>) {
        const Vector<T>* row_of_b = reinterpret_cast<const Vector<T>*>(b);
        for (Index i = 0; i < tile_rows; ++i)
            for (Index v = 0; v < tile_vectors; ++v) sum[i][v] += a[i] * row_of_b[v];
    }
    for (Index i = 0; i < tile_rows; ++i)
        for (Index v = 0; v < tile_vectors; ++v) reinterpret_cast<Vector<T>*>(c + i * ldc)[v] += sum[i][v];
}

// The same where the tile reaches over the edge of C: by way of a whole tile beside it.
template <class T>
void multiply_edge_tile(Index depth, const T* a, const T* b, T* c, Index ldc, Index rows, Index columns) {
    T tile[tile_rows * tile_columns<T>] = {};
    multiply_tile(depth, a, b, tile, tile_columns<T>);
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j) c[i * ldc + j] += tile[i * tile_columns<T> + j];
}

struct Range {
    Index begin, end;
};

// The given rows and columns of C += A B; `c` is element (0, 0), `scratch` holds gemm_scratch<T> elements.
// An element's sum runs over k in the same order wherever the ranges cut C.
template <class T, class A, class B>
void gemm(Range rows, Range columns, Index K, const A& a, const B& b, T* c, Index ldc, T* scratch) {
    constexpr Index TR = tile_rows, TC = tile_columns<T>;
    T* const a_panels = scratch;
    T* const b_panels = scratch + block_k * block_m;
    for (Index k = 0; k < K; k += block_k) {
        const Index depth = smaller(block_k, K - k);
        for (Index n = columns.begin; n < columns.end; n += block_n<T>) {
            const Index width = smaller(block_n<T>, columns.end - n);
            pack_panels(b, n, width, k, depth, b_panels, TC);
            for (Index m = rows.begin; m < rows.end; m += block_m) {
                const Index height = smaller(block_m, rows.end - m);
                pack_panels(a, m, height, k, depth, a_panels, TR);
                for (Index j = 0; j < width; j += TC) {
                    for (Index i = 0; i < height; i += TR) {
                        const T* a_panel = a_panels + i * depth;
                        const T* b_panel = b_panels + j * depth;
                        T* tile = c + (m + i) * ldc + n + j;
                        if (i + TR <= height && j + TC <= width)
                            multiply_tile(depth, a_panel, b_panel, tile, ldc);
                        else
                            multiply_edge_tile(depth, a_panel, b_panel, tile, ldc, smaller(TR, height - i),
                                               smaller(TC, width - j));
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
