// The matrix product C (M, N) = A (M, K) B (K, N) on all threads.
//
// Blocking after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#pragma once

#include "packing.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// A strided matrix in memory: element (i, j) lies at data[i * row_step + j * column_step].
template <class T>
struct Matrix {
    const T* data;
    Index row_step, column_step;

    Matrix from(Index row, Index column) const {
        return {data + row * row_step + column * column_step, row_step, column_step};
    }
    Matrix transposed() const { return {data, column_step, row_step}; }
};

// So few columns behind the last whole vector of them are multiplied apart from the others.
template <class T>
constexpr Index few_columns = larger(vector_lanes<T> / 4, 1);

template <class T>
constexpr Index gemm_scratch = most_depth * rounded_up(fewest_positions, tile_columns<T>);

// Panels of B: (depth, tile_columns) each.
template <class T>
void pack_b(const Matrix<T>& b, Index columns, Index depth, T* to) {
    constexpr Index TC = tile_columns<T>, L = vector_lanes<T>;
    if (b.column_step != 1)
        return for_panels<T>({0, columns}, [&](Index panel, Range some) {
            transpose(b.from(0, some.begin).data, b.column_step, some.size(), depth, to + panel * depth * TC, TC);
        });
    // row by row, for memory is read fastest from front to back
    for (Index k = 0; k < depth; ++k)
        for_panels<T>({0, columns}, [&](Index panel, Range some) {
            T* const row = to + (panel * depth + k) * TC;
            copy(row, b.from(k, some.begin).data, some.size());
            fill_few(row + some.size(), rounded_up(some.size(), L) - some.size(), T(0));
        });
}

constexpr Index row_vectors = 13;  // of sums of a single row: as many as find registers beside a number of A

// y (columns) += a (K) B for neighbouring columns, `vectors` vectors of them side by side. The columns fill `full` of
// these and more; the others overlap those before them as far as need be.
template <class T, int vectors, int full>
void multiply_row(Index K, const T* a, Index a_step, const T* b, Index b_step, Index columns, T* y) {
    constexpr Index L = vector_lanes<T>;
    const auto at = [&](int v) { return v < full ? v * L : smaller(v * L, columns - L); };
    Vector<T> sum[vectors];
    repeat<vectors>([&](auto v) { sum[v.value] = Vector<T>{}; });
    for (Index k = 0; k < K; ++k, b += b_step)
        repeat<vectors>([&](auto v) { sum[v.value] += a[k * a_step] * load<int(L)>(b + at(v.value)); });
    // All are read before any is written: where two overlap, both then hold the same totals.
    Vector<T> total[vectors];
    repeat<vectors>([&](auto v) { total[v.value] = load<int(L)>(y + at(v.value)) + sum[v.value]; });
    repeat<vectors>([&](auto v) { store<int(L)>(y + at(v.value), total[v.value]); });
}

// One row of C = A B, or C += A B. B is read from front to back, once: its size is what this takes time for.
template <class T>
void multiply_one_row(Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c, bool accumulate) {
    constexpr Index L = vector_lanes<T>;
    if (!accumulate) fill(c, N, T(0));
    for (Index j = 0; j < N; j += row_vectors * L) {
        const Index columns = smaller(row_vectors * L, N - j);
        const auto run = columns >= 8 * L   ? multiply_row<T, row_vectors, 8>
                         : columns > 7 * L  ? multiply_row<T, 8, 4>
                         : columns >= 4 * L ? multiply_row<T, 7, 4>
                         : columns >= 2 * L ? multiply_row<T, 4, 2>
                                            : multiply_row<T, 2, 1>;
        // Several short sums have fewer roundings than a long one.
        for (Index k = 0; k < K; k += most_depth)
            run(smaller(most_depth, K - k), a.from(0, k).data, a.column_step, b.from(k, j).data, b.row_step, columns,
                c + j);
    }
}

// c (rows, count) += the lanes of sums (rows, columns) and the products of what is left of the depth, `rest` numbers.
template <class T>
PYCONV_ONCE void finish_dots(const Vector<T>* sums, Index rows, Index columns, Index count, Index rest, const T* a,
                             Index a_step, const T* b, Index b_step, T* c, Index ldc) {
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < count; ++j) {
            T products = 0;
            for (Index r = 0; r < rest; ++r) products += a[i * a_step + r] * b[j * b_step + r];
            c[i * ldc + j] += sum_lanes<T, int(vector_lanes<T>)>(sums[i * columns + j]) + products;
        }
}

// c (rows, count) += the products of rows of A with columns of B, K numbers side by side in both. Rows of A lie a_step
// apart. There are `columns` columns of B, of which `count` are wanted.
template <class T, int rows, int columns>
void add_dots(Index K, const T* a, Index a_step, const T* b, Index count, T* c, Index ldc) {
    constexpr int L = int(vector_lanes<T>);
    Vector<T> sum[rows][columns], sums[rows * columns];
    for_tile<rows, columns>([&](int i, int j) { sum[i][j] = Vector<T>{}; });
    Index k = 0;
    for (; k + L <= K; k += L) {
        Vector<T> column[columns];
        repeat<columns>([&](auto j) { column[j.value] = load<L>(b + j.value * K + k); });
        repeat<rows>([&](auto i) {
            const Vector<T> row = load<L>(a + i.value * a_step + k);
            repeat<columns>([&](auto j) { sum[i.value][j.value] += row * column[j.value]; });
        });
    }
    // `sums` is in memory, so that `sum` need not be
    for_tile<rows, columns>([&](int i, int j) { sums[i * columns + j] = sum[i][j]; });
    finish_dots<T>(sums, rows, columns, count, K - k, a + k, a_step, b + k, K, c, ldc);
}

template <class T>
void gemm(Index M, Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c, Index ldc, bool accumulate,
          T* scratch);

// C = A B, or C += A B, for so few columns, N, that they would leave most of a vector empty. Vectors run along the
// depth, where A's numbers lie side by side; or down the columns, where A's numbers do: C^T = B^T A^T.
template <class T>
void multiply_few_columns(Index M, Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c, Index ldc,
                          bool accumulate, T* scratch) {
    constexpr Index R = tile_rows, L = vector_lanes<T>, most = fewest_positions;
    constexpr int few = int(few_columns<T>);
    static_assert(few * most_depth * L <= gemm_scratch<T>);
    if (!accumulate)
        for (Index i = 0; i < M; ++i) fill_few(c + i * ldc, N, T(0));
    if (a.column_step == 1)
        for (Index k = 0; k < K; k += most_depth * L) {
            const Index depth = smaller(most_depth * L, K - k), columns = N == 1 ? 1 : few;
            for (Index j = 0; j < columns; ++j)
                for (Index d = 0; d < depth; ++d) scratch[j * depth + d] = j < N ? *b.from(k + d, j).data : T(0);
            const auto some_rows = N == 1 ? add_dots<T, int(R), 1> : add_dots<T, int(R), few>;
            const auto one_row = N == 1 ? add_dots<T, 1, 1> : add_dots<T, 1, few>;
            Index i = 0;
            for (; i + R <= M; i += R) some_rows(depth, a.from(i, k).data, a.row_step, scratch, N, c + i * ldc, ldc);
            for (; i < M; ++i) one_row(depth, a.from(i, k).data, a.row_step, scratch, N, c + i * ldc, ldc);
        }
    else
        for (Index i = 0; i < M; i += most) {
            T rows[few * most];
            const Index count = smaller(most, M - i);
            gemm(N, count, K, b.transposed(), a.from(i, 0).transposed(), rows, most, false, scratch);
            for (Index j = 0; j < N; ++j)
                for (Index r = 0; r < count; ++r) c[(i + r) * ldc + j] += rows[j * most + r];
        }
}

// C = A B, or C += A B, on one thread. `scratch` holds gemm_scratch<T> elements.
template <class T>
void gemm(Index M, Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c, Index ldc, bool accumulate,
          T* scratch) {
    constexpr Index TR = tile_rows, TC = tile_columns<T>, L = vector_lanes<T>;
    const Index last_columns = N % (row_vectors * L);  // of a single row's last block
    if (M == 1 && b.column_step == 1 && N >= L && (last_columns == 0 || last_columns >= L))
        return multiply_one_row(N, K, a, b, c, accumulate);
    if (M == 1 && b.row_step == 1)  // sums along the rows of a transposed matrix, which need not be transposed for them
        return multiply_few_columns(N, 1, K, b.transposed(), a.transposed(), c, 1, accumulate, scratch);
    const Index few = N % L;
    const bool side_by_side = a.row_step == 1 || (a.column_step == 1 && K >= 4 * L);
    if (!small_rather_than_fast && few > 0 && few <= few_columns<T> && N > L && M > TR && side_by_side) {
        N -= few;
        multiply_few_columns(M, few, K, a, b.from(0, N), c + N, ldc, accumulate, scratch);
    }
    for (Index j = 0; j < N; j += fewest_positions) {
        const Index width = smaller(fewest_positions, N - j);
        // A panel that only few rows meet is not worth packing, nor one whose rows are so large a part of B's that
        // memory is read as if from front to back: whole vectors of B are read where they lie.
        const Index in_place = b.column_step == 1 && (M <= TR || b.row_step <= 4 * TC) ? width / L * L : 0;
        for (Index k = 0; k < K; k += most_depth) {
            const Index depth = smaller(most_depth, K - k);
            const Ends<T> ends{accumulate || k > 0, nullptr, false};
            const Depth<T> direct{1, depth, one_line, a.column_step, b.row_step};
            const Depth<T> packed{1, depth, one_line, a.column_step};
            pack_b(b.from(k, j + in_place), width - in_place, depth, scratch);
            for (Index i = 0; i < M; i += TR) {
                const Index rows = smaller(TR, M - i);
                const T* streams[TR];
                for (Index r = 0; r < rows; ++r) streams[r] = a.from(i + r, k).data;
                T* const row = c + i * ldc + j;
                for_panels<T>({0, in_place}, [&](Index, Range some) {
                    multiply(rows, some.size(), streams, direct, b.from(k, j + some.begin).data, row + some.begin,
                             ldc, ends);
                });
                for_panels<T>({in_place, width}, [&](Index panel, Range some) {
                    multiply(rows, some.size(), streams, packed, scratch + panel * depth * TC, row + some.begin, ldc,
                             ends);
                });
            }
        }
    }
}

// c (M, N) = A B on all threads; rows of c lie N elements apart.
template <class T>
void parallel_gemm(Index M, Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c) {
    constexpr Index TR = tile_rows, TC = tile_columns<T>;
    if (K == 0) return fill(c, M * N, T(0));  // an empty sum
    const int parts = threads_for(divided_up(K, 32), double(M) * double(N) * double(K));
    // Each thread takes columns where there are many; else rows, for which each packs the whole of B; else, where B
    // is the larger matrix, a share of the depth, and the products are added up in order.
    const bool by_columns = N >= 4 * TC * parts || parts == 1, by_rows = !by_columns && M >= K;
    const bool by_depth = !by_columns && !by_rows;
    const Index sums = by_depth ? M * N : 0;
    const Scratch<T> scratch(parts * (gemm_scratch<T> + sums));
    run_each(parts, [&](int part) {
        T* const packing = scratch.data() + part * gemm_scratch<T>;
        if (by_depth) {
            const Range k = share(K, parts, part);
            T* const to = part == 0 ? c : scratch.data() + parts * gemm_scratch<T> + (part - 1) * sums;
            gemm(M, N, k.size(), a.from(0, k.begin), b.from(k.begin, 0), to, N, false, packing);
            return;
        }
        const Index unit = by_columns ? TC : TR, side = by_columns ? N : M;
        const Range tiles = share(divided_up(side, unit), parts, part);
        const Index begin = tiles.begin * unit, size = smaller(side, tiles.end * unit) - begin;
        if (by_columns)
            gemm(M, size, K, a, b.from(0, begin), c + begin, N, false, packing);
        else
            gemm(size, N, K, a.from(begin, 0), b, c + begin * N, N, false, packing);
    });
    for (int part = 1; by_depth && part < parts; ++part)
        for (Index i = 0; i < M * N; ++i) c[i] += scratch.data()[parts * gemm_scratch<T> + (part - 1) * sums + i];
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
