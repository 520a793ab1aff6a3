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

// The sums of a tile stay in registers: 6 x 4 in AVX-512's 32, 4 x 3 in the 16 of others (NEON has 32; it is treated
// alike). 4 x 3 takes 7 loads for 12 multiply-adds, where 6 x 2 takes 8, and layers mostly have a multiple of four
// filters.
constexpr Index tile_rows = is_avx512 ? 6 : 4, tile_vectors = is_avx512 ? 4 : 3;
constexpr Index vector_registers = is_avx512 ? 32 : 16;
// 12 multiply-adds take 6 cycles, in which a CPU starts 24 instructions. Beside the loads that leaves few for the loop
// itself, so AVX2 does two steps a turn. 24 multiply-adds, or a CPU without them, leave enough.
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

constexpr Index one_line[] = {0};  // the lines of a matrix

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
#pragma GCC unroll steps_at_once
            for (Index step = 0; step < steps; ++step, at += a_step, b.next()) {
                // The compiler must not see through `at`: it would keep a pointer for every stream, and move them all.
                asm volatile("" : "+r"(at));
                // Held in registers for a step: the numbers of A or the vectors of B, whichever are fewer.
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

template <class T>
using MultiplyTile = void (*)(const T* const*, const Depth<T>&, const T*, T*, Index, Ends<T>);

template <class T, int rows, int vectors>
constexpr MultiplyTile<T> tile_kernel();

// Of tiles with six rows and four vectors, an odd number of rows is computed as an even one and 1, and three vectors as
// two and 1: for kernels that are seldom needed, 33 kB less to install.
template <class T, int rows, int vectors>
void multiply_in_two(const T* const* a, const Depth<T>& depth, const T* b, T* c, Index ldc, Ends<T> ends) {
    constexpr bool by_rows = rows % 2 == 1 && rows > 1;
    constexpr int first_rows = by_rows ? rows - 1 : rows, first_vectors = by_rows ? vectors : vectors - 1;
    tile_kernel<T, first_rows, first_vectors>()(a, depth, b, c, ldc, ends);
    if constexpr (by_rows) {
        if (ends.bias) ends.bias += first_rows;
        tile_kernel<T, 1, vectors>()(a + first_rows, depth, b, c + first_rows * ldc, ldc, ends);
    } else {
        constexpr Index columns = first_vectors * vector_lanes<T>;
        tile_kernel<T, rows, 1>()(a, depth, b + columns, c + columns, ldc, ends);
    }
}

template <class T, int rows, int vectors>
constexpr MultiplyTile<T> tile_kernel() {
    if constexpr (is_avx512 && (vectors == 3 || (rows % 2 == 1 && rows > 1)))
        return multiply_in_two<T, rows, vectors>;
    else
        return multiply_tile<T, rows, vectors>;
}

template <class T, int... I>
MultiplyTile<T> tile_kernel_at(Index index, Sequence<I...>) {
    constexpr int R = int(tile_rows);
    static constexpr MultiplyTile<T> kernels[] = {tile_kernel<T, I % R + 1, I / R + 1>()...};
    return kernels[index];
}

// The micro-kernel for a tile of 1 to tile_rows rows and 1 to tile_vectors vectors.
template <class T>
MultiplyTile<T> tile_of(Index rows, Index vectors) {
    return tile_kernel_at<T>((vectors - 1) * tile_rows + rows - 1,
                             Counting<int(tile_rows * tile_vectors)>());
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
