// The micro-kernel: one tile of a matrix product, C (rows, vectors) = start + A B, every accumulator in a register.
//
//   A  `rows` streams of numbers, each broadcast to a whole vector: a[i][lines[l] + x * a_step]
//   B  for every step of depth, `vectors` vectors side by side; steps lie b_step elements apart
//   C  row-major, rows `ldc` elements apart
//
// The depth runs over `line_count` lines of `length` steps, for an image is a stack of rows; a matrix is one line.
#pragma once

#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// 6 x 4 vectors: 24 of AVX-512's 32 registers hold sums. 4 x 3: 12 of the 16 that the others have, and the fewest loads
// and multiples of four filters fill it.
constexpr Index vector_registers = PYCONV_VECTOR_BYTES == 64 ? 32 : 16;
constexpr Index tile_rows = PYCONV_VECTOR_BYTES == 64 ? 6 : 4;
constexpr Index tile_vectors = PYCONV_VECTOR_BYTES == 64 ? 4 : 3;
// A step of 12 multiply-adds in a row of 6 cycles leaves a CPU that starts four instructions in each none to spare for
// the loop's own; one of 24 does.
constexpr int steps_at_once = PYCONV_VECTOR_BYTES == 32 ? 2 : 1;
template <class T>
constexpr Index tile_columns = tile_vectors * vector_lanes<T>;

// What becomes of a tile's sums: what C holds and `bias` may be added, and ReLU taken.
template <class T>
struct Ends {
    bool accumulate;
    const T* bias;  // one number per row, or null for zeros
    bool relu;      // a NaN stays
};

// The steps of depth: where they lie in the streams of A and in B.
template <class T>
struct Depth {
    Index line_count, length;
    const Index* lines;  // where each begins in a stream
    Index a_step;
    Index b_step = tile_columns<T>;
    // So many products make a sum, which then joins the total: several short sums have fewer roundings than a long one.
    Index run = 96;
};

// Vectors of B side by side, the steps of depth `step` elements apart.
template <class T>
struct Panel {
    const T* b;
    Index step;

    Vector<T> vector(int v) const { return reinterpret_cast<const Vector<T>*>(b)[v]; }
    void next() { b += step; }
};

// Calls body(i, v) for every vector v of every row i.
template <int rows, int vectors, class Body>
__attribute__((always_inline)) inline void for_tile(const Body& body) {
    repeat<rows>([&](auto i) { repeat<vectors>([&](auto v) { body(i.value, v.value); }); });
}

// sum[i][v] = the products of row i of A with vector v of B, summed over the depth
template <int rows, int vectors, class T, class B>
__attribute__((always_inline)) inline void sum_products(const T* const* a, const Depth<T>& depth, B b,
                                                        Vector<T> (&sum)[rows][vectors]) {
    constexpr int L = int(vector_lanes<T>);
    constexpr bool totals_in_registers = 2 * rows * vectors + vectors + 1 <= vector_registers;
    alignas(64) Vector<T> total[rows][vectors];
    const Index length = depth.length, a_step = depth.a_step;
    const Index *line = depth.lines, *const end = line + depth.line_count;
    Index x = 0;  // of the line
    for (bool first = true;; first = false) {
        for_tile<rows, vectors>([&](int i, int v) { sum[i][v] = Vector<T>{}; });
        for (Index left = depth.run; left > 0 && line < end;) {
            const Index steps = smaller(left, length - x);
            Index at = *line + x * a_step;
// One index into all streams, for each as a pointer of its own would have to be moved.
#pragma GCC unroll steps_at_once
            for (Index step = 0; step < steps; ++step, at += a_step, b.next()) {
                asm volatile("" : "+r"(at));
                // Beside the sums there are registers for all numbers of A and a vector of B, or the other way round.
                if constexpr (rows < vectors) {
                    Vector<T> numbers[rows];
                    repeat<rows>([&](auto i) { numbers[i.value] = broadcast<L>(a[i.value][at]); });
                    repeat<vectors>([&](auto v) {
                        const Vector<T> vector = b.vector(v.value);
                        repeat<rows>([&](auto i) { sum[i.value][v.value] += numbers[i.value] * vector; });
                    });
                } else {
                    Vector<T> row[vectors];
                    repeat<vectors>([&](auto v) { row[v.value] = b.vector(v.value); });
                    repeat<rows>([&](auto i) {
                        const T number = a[i.value][at];
                        repeat<vectors>([&](auto v) { sum[i.value][v.value] += number * row[v.value]; });
                    });
                }
            }
            left -= steps, x += steps;
            if (x == length) x = 0, ++line;
        }
        // Says that the totals may be looked at: they stay in memory, and leave the registers to the sums.
        if constexpr (!totals_in_registers) asm volatile("" : : "r"(total) : "memory");
        if (!first) for_tile<rows, vectors>([&](int i, int v) { sum[i][v] += total[i][v]; });
        if (line == end) return;
        for_tile<rows, vectors>([&](int i, int v) { total[i][v] = sum[i][v]; });
    }
}

template <class T, int rows, int vectors>
void multiply_tile(const T* const* a, const Depth<T>& depth, const T* b, T* c, Index ldc, Ends<T> ends) {
    using V = Vector<T>;
    // C's cache lines arrive while the sums are made.
    for (Index i = 0; i < rows; ++i)
        repeat<vectors>([&](auto v) { __builtin_prefetch(c + i * ldc + v.value * vector_lanes<T>, 1); });
    V sum[rows][vectors];
    sum_products(a, depth, Panel<T>{b, depth.b_step}, sum);
    const auto each = [&](const auto& body) {  // body(sum, C's vector, row)
        T* row = c;
        repeat<rows>([&](auto i) {
            repeat<vectors>([&](auto v) { body(sum[i.value][v.value], reinterpret_cast<V*>(row)[v.value], i.value); });
            row += ldc;
        });
    };
    if (ends.accumulate) each([](V& s, const V& result, int) { s += result; });
    if (ends.bias) each([&](V& s, const V&, int i) { s += ends.bias[i]; });
    if (ends.relu) each([](V& s, const V&, int) { s = s <= 0 ? V{} : s; });
    each([](const V& s, V& result, int) { result = s; });
}

// A matrix seldom leaves 3 rows over: they are computed as 2 and 1, for a kernel less is 15 kB less to install.
template <class T, int vectors>
void multiply_three_rows(const T* const* a, const Depth<T>& depth, const T* b, T* c, Index ldc, Ends<T> ends) {
    multiply_tile<T, 2, vectors>(a, depth, b, c, ldc, ends);
    if (ends.bias) ends.bias += 2;
    multiply_tile<T, 1, vectors>(a + 2, depth, b, c + 2 * ldc, ldc, ends);
}

template <class T>
using MultiplyTile = void (*)(const T* const*, const Depth<T>&, const T*, T*, Index, Ends<T>);

// The micro-kernel for a tile of 1 to tile_rows rows and 1 to tile_vectors vectors.
template <class T>
MultiplyTile<T> tile_of(Index rows, Index vectors) {
#if PYCONV_VECTOR_BYTES == 64
#define PYCONV_ROW(v)                                                                              \
    {multiply_tile<T, 1, v>, multiply_tile<T, 2, v>, multiply_three_rows<T, v>, multiply_tile<T, 4, v>, \
     multiply_tile<T, 5, v>, multiply_tile<T, 6, v>}
    static constexpr MultiplyTile<T> tiles[][tile_rows] = {PYCONV_ROW(1), PYCONV_ROW(2), PYCONV_ROW(3), PYCONV_ROW(4)};
#else
#define PYCONV_ROW(v) \
    {multiply_tile<T, 1, v>, multiply_tile<T, 2, v>, multiply_three_rows<T, v>, multiply_tile<T, 4, v>}
    static constexpr MultiplyTile<T> tiles[][tile_rows] = {PYCONV_ROW(1), PYCONV_ROW(2), PYCONV_ROW(3)};
#endif
#undef PYCONV_ROW
    return tiles[vectors - 1][rows - 1];
}

// The same for the first `columns` columns: by way of a whole tile where they end within a vector.
template <class T>
void multiply(Index rows, Index columns, const T* const* a, const Depth<T>& depth, const T* b, T* c, Index ldc,
              Ends<T> ends) {
    const Index vectors = divided_up(columns, vector_lanes<T>);
    const MultiplyTile<T> kernel = tile_of<T>(rows, vectors);
    if (columns == vectors * vector_lanes<T>) return kernel(a, depth, b, c, ldc, ends);
    T tile[tile_rows * tile_columns<T>];
    if (ends.accumulate)
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < tile_columns<T>; ++j)
                tile[i * tile_columns<T> + j] = j < columns ? c[i * ldc + j] : T(0);
    kernel(a, depth, b, tile, tile_columns<T>, ends);
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j) c[i * ldc + j] = tile[i * tile_columns<T> + j];
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
