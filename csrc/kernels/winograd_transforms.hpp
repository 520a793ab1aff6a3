// Convolution with 3x3 filters in fewer multiplications: Winograd's minimal filtering, F(2x2, 3x3), step by step.
// winograd.hpp puts the steps together.
//
// Two neighbouring outputs of a filter g of three taps take 2 * 3 = 6 products from the four inputs d they see:
//
//   y0 = d0 g0 + d1 g1 + d2 g2
//   y1 = d1 g0 + d2 g1 + d3 g2
//
// Four are enough (Winograd, "Arithmetic Complexity of Computations", 1980), as multiplying out shows:
//
//   m0 = (d0 - d2) g0    m1 = (d1 + d2) (g0 + g1 + g2) / 2    m2 = (d2 - d1) (g0 - g1 + g2) / 2    m3 = (d1 - d3) g2
//   y0 = m0 + m1 + m2    y1 = m1 - m2 - m3
//
// Done down the columns and then along the rows, a tile of 2x2 outputs takes the 4x4 pixels of a patch and
// 4 * 4 = 16 products instead of 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016).
// Additions before and after do not depend on how many filters meet a patch, or channels a filter; what grows with both
// is, for each of the 16 points of the transformed tile, one matrix product:
//
//   M[point] (filters, tiles) = U[point] (filters, channels) V[point] (channels, tiles)
//   U  transformed filters    V  transformed patches    y = transformed M
//
// Rounding: M is up to twice as large as y where all numbers are positive, and so are its roundings. Short sums make
// up for it: winograd_steps channels are summed in a register, winograd_channels in M, the others in y. Numbers that
// are not finite: d0 and d3 above each meet the one output that sees them, so a NaN arrives where it would anyway, but
// an output that sees an infinity may be NaN instead, being a difference of two.
#pragma once

#include "packing.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// convolution.hpp
template <class T>
struct Weights;

constexpr Index winograd_points = 16;
constexpr Index winograd_channels = 64, winograd_steps = 24;  // see Rounding
constexpr Index most_filter_bytes = 6 << 20;  // of U: more filters take turns
// Tiles that are multiplied together: half as many as in a matrix product, for the totals take registers, too.
constexpr Index winograd_vectors = tile_vectors / 2;
template <class T>
constexpr Index winograd_columns = winograd_vectors * vector_lanes<T>;
template <class T>
constexpr Index winograd_tiles = 512 / Index(sizeof(T));  // of a strip: V takes half a megabyte, and stays in the cache

// Four numbers d, `step` apart, become what meets the filter.
template <class V>
inline void transform_inputs(V* d, int step) {
    const V d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    d[0] = d0 - d2;
    d[step] = d1 + d2;
    d[2 * step] = d2 - d1;
    d[3 * step] = d1 - d3;
}

// Three taps g, `step` apart, become four numbers.
template <class T, class V>
inline void transform_taps(V* g, int step) {
    const V outer = (g[0] + g[2 * step]) * T(0.5), inner = g[step] * T(0.5);
    g[3 * step] = g[2 * step];
    g[step] = outer + inner;
    g[2 * step] = outer - inner;
}

// Four products m, `step` apart, become two outputs.
template <class V>
inline void transform_products(V* m, int step) {
    const V y0 = m[0] + m[step] + m[2 * step];
    m[step] = m[step] - m[2 * step] - m[3 * step];
    m[0] = y0;
}

// Channels of a tile of up to tile_rows filters -> U (point, channel, tile_rows). Lanes that are left over repeat the
// last filter.
template <class T>
void transform_filters(const Weights<T>& w, Index f, Index rows, Range channels, T* U) {
    static_assert(tile_rows == 6, "a vector of 4 and one of 2");
    const T* filter[tile_rows];
    for (Index i = 0; i < tile_rows; ++i) filter[i] = w.data + (f + smaller(i, rows - 1)) * w.row_step;
    for (Index c = channels.begin; c < channels.end; ++c, U += tile_rows) {
        Lanes<T, 4> first[4][4];
        Lanes<T, 2> last[4][4];
        repeat<9>([&](auto t) {
            constexpr int i = t.value / 3, j = t.value % 3;
            const Index at = c * w.channel_step + w.taps[t.value];
            first[i][j] = Lanes<T, 4>{filter[0][at], filter[1][at], filter[2][at], filter[3][at]};
            last[i][j] = Lanes<T, 2>{filter[4][at], filter[5][at]};
        });
        repeat<3>([&](auto j) { transform_taps<T>(&first[0][j.value], 4), transform_taps<T>(&last[0][j.value], 4); });
        repeat<4>([&](auto i) {
            transform_taps<T>(first[i.value], 1), transform_taps<T>(last[i.value], 1);
            repeat<4>([&](auto j) {
                T* const to = U + (i.value * 4 + j.value) * channels.size() * tile_rows;
                store<4>(to, first[i.value][j.value]);
                store<2>(to + 4, last[i.value][j.value]);
            });
        });
    }
}

// One channel's patches (panel, pixel, tile_columns) -> V (panel, point, channel, winograd_columns).
template <class T>
void transform_patches(const T* patches, Index vectors, Index channels, T* V) {
    constexpr Index L = vector_lanes<T>, TC = tile_columns<T>, WC = winograd_columns<T>;
    for (Index v = 0; v < vectors; ++v) {
        const T* from = patches + v / tile_vectors * winograd_points * TC + v % tile_vectors * L;
        T* to = V + v / winograd_vectors * winograd_points * channels * WC + v % winograd_vectors * L;
        Vector<T> d[4][4];
        repeat<4>([&](auto j) {
            repeat<4>([&](auto i) { d[i.value][j.value] = load<L>(from + (i.value * 4 + j.value) * TC); });
            transform_inputs(&d[0][j.value], 4);
        });
        repeat<4>([&](auto i) {
            transform_inputs(d[i.value], 1);
            repeat<4>([&](auto j) { store<L>(to + (i.value * 4 + j.value) * channels * WC, d[i.value][j.value]); });
        });
    }
}

// One point of the tile's filters and of some tiles side by side: M (tile_rows, winograd_columns) = U V. After every
// `steps` channels their sums join the totals.
template <class T, int vectors>
void multiply_point(const T* U, const T* V, Index channels, Index steps, T* M) {
    constexpr Index L = vector_lanes<T>;
    Vector<T> total[tile_rows][vectors] = {};
    for (Index c = 0; c < channels;) {
        const Index end = smaller(channels, c + steps);
        Vector<T> sum[tile_rows][vectors] = {};
        for (; c < end; ++c, U += tile_rows, V += winograd_columns<T>) {
            Vector<T> row[vectors];
            repeat<vectors>([&](auto v) { row[v.value] = load<L>(V + v.value * L); });
            repeat<tile_rows>([&](auto i) {
                repeat<vectors>([&](auto v) { sum[i.value][v.value] += U[i.value] * row[v.value]; });
            });
        }
        repeat<tile_rows>([&](auto i) {
            repeat<vectors>([&](auto v) { total[i.value][v.value] += sum[i.value][v.value]; });
        });
    }
    repeat<tile_rows>([&](auto i) {
        repeat<vectors>([&](auto v) {
            store<L>(M + i.value * winograd_columns<T> + v.value * L, total[i.value][v.value]);
        });
    });
}

// M (point, filter, winograd_columns) of one filter -> sums (2x2, tiles), or added to these.
template <class T>
void transform_outputs(const T* M, Index vectors, T* sums, bool accumulate) {
    constexpr Index L = vector_lanes<T>, tiles = winograd_tiles<T>;
    for (Index v = 0; v < vectors; ++v, M += L, sums += L) {
        Vector<T> m[4][4];
        repeat<4>([&](auto j) {
            repeat<4>([&](auto i) {
                m[i.value][j.value] = load<L>(M + (i.value * 4 + j.value) * tile_rows * winograd_columns<T>);
            });
            transform_products(&m[0][j.value], 4);
        });
        repeat<2>([&](auto i) {
            transform_products(m[i.value], 1);
            repeat<2>([&](auto j) {
                T* to = sums + (i.value * 2 + j.value) * tiles;
                store<L>(to, accumulate ? load<L>(to) + m[i.value][j.value] : m[i.value][j.value]);
            });
        });
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
