// Convolution in fewer multiplications: Winograd's minimal filtering, step by step. winograd.hpp puts the steps
// together, and winograd_weight.hpp those of a gradient.
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
// Two taps take three, and one tap two, that add up to the outputs in the same way:
//
//   m0 = (d0 - d1) g0    m1 = d1 (g0 + g1)    m3 = (d1 - d2) g1
//   m0 = d0 g0           m3 = d1 (-g0)
//
// Any filter is cut into such pieces. With a stride, a piece has every stride-th tap, and sees every stride-th input.
// The products of all pieces at the same point 0, 1, 2 or 3 are added up before m becomes y: five taps, cut into three
// and two, take 7 products instead of 10; three with stride 2, cut into two and one, 5 instead of 6.
//
// Done down the columns and then along the rows, a tile of 2x2 outputs takes for a 3x3 filter 4 * 4 = 16 products
// instead of 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016), for 5x5 49 instead of 100.
// Additions before and after do not depend on how many filters meet a patch, the pixels that a tile sees, or channels a
// filter; what grows with both is, for each of the 4 * 4 points of the transformed tile, one matrix product:
//
//   M[point] (filters, tiles) = U[point] (filters, channels and pieces) V[point] (channels and pieces, tiles)
//   U  transformed filters    V  transformed patches    y = transformed M
//
// Rounding: M is up to twice as large as y where all numbers are positive, and so are its roundings. Short sums make
// up for it: winograd_steps products are summed in a register, those of a block of channels in M, the others in y.
// Numbers that are not finite: what a point has of an input that only one of two outputs sees goes to that output
// alone, so a NaN arrives where it would anyway, but an output that sees an infinity may be NaN instead, being a
// difference of two. A gradient of weights may be NaN for all taps of a channel where one of them meets either.
#pragma once

#include "packing.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index winograd_points = 16;
// Products of a tile with a block of channels, and how many of them a single block may have, see Rounding. For a strip,
// V takes a megabyte with AVX-512, whose CPUs have second-level caches of one or two; else 0.3, of mostly half a one.
constexpr Index winograd_products = is_avx512 ? 2048 : 1024, winograd_products_at_once = 1024;
constexpr Index winograd_steps = 24;  // see Rounding
constexpr Index most_filter_bytes = 5 << 20;  // of U: more filters take turns
// Vectors of tiles that are multiplied together. AVX-512 has registers for the totals of half as many as in a matrix
// product; with fewer registers, the totals are better off in memory.
constexpr Index winograd_vectors = is_avx512 ? tile_vectors / 2 : tile_vectors;
template <class T>
constexpr Index winograd_columns = winograd_vectors * vector_lanes<T>;
// Tiles of a strip, a multiple of tile_columns; and the most of a batch that is one strip.
template <class T>
constexpr Index winograd_tiles = (is_avx512 ? 512 : 288) / Index(sizeof(T));
template <class T>
constexpr Index most_winograd_tiles = (is_avx512 ? 2 : 4) * winograd_tiles<T>;

// One axis of a filter, cut into pieces of up to three taps, `stride` apart. The longest come first: the pieces that
// have a point are the first so many.
struct Cut {
    static constexpr Index most_taps = 32;
    struct Piece {
        Index first, length;
    };
    Index taps, stride, patch;  // patch: pixels that two neighbouring windows see
    Index count = 0, with_point[4];
    Piece pieces[most_taps];

    PYCONV_SETUP explicit Cut(const Axis& axis)
        : taps(axis.filter), stride(axis.stride), patch(axis.filter + axis.stride) {
        for (Index length = 3; length > 0; --length) {
            for (Index phase = 0; phase < smaller(stride, taps); ++phase)
                for (Index tap = phase; tap < taps; tap += 3 * stride)
                    if (smaller(divided_up(taps - tap, stride), 3) == length) pieces[count++] = {tap, length};
            with_point[length - 1] = count;
        }
        with_point[3] = count;
    }
};

// A piece along one axis with one along the other, the longer of the two first.
struct Pair {
    Index from, longer, shorter, long_step, short_step;  // where the first tap lies, taps, and how far apart they lie
    Index step[4][4];  // of depth, counted over all points, that point (of longer, of shorter) has the product at

    // Calls body(longer, shorter) with both as constants.
    template <class Body>
    void with_lengths(const Body& body) const {
        with_constant<3>(longer, [&](auto h) { with_constant<h.value>(shorter, [&](auto w) { body(h, w); }); });
    }
};

// A filter cut along both axes.
struct Pieces {
    Cut h, w;
    Index products = 0, at_point[winograd_points];  // of a channel
    Index begin[winograd_points];                   // where those of a point begin

    PYCONV_SETUP explicit Pieces(const Window& window) : h(window.h), w(window.w) {
        for (Index point = 0; point < winograd_points; ++point) {
            at_point[point] = h.with_point[point / 4] * w.with_point[point % 4];
            begin[point] = products;
            products += at_point[point];
        }
    }

    Index patch() const { return h.patch * w.patch; }

    // Calls visit for all pairs of a piece of h and one of w, in an array whose rows and columns lie `row` and `column`
    // elements apart. Steps are those of channel c of `channels`.
    template <class Visit>
    void for_each(Index c, Index channels, Index row, Index column, const Visit& visit) const {
        for (Index i = 0; i < h.count; ++i)
            for (Index j = 0; j < w.count; ++j) {
                const Cut::Piece y = h.pieces[i], x = w.pieces[j];
                const Index from = y.first * row + x.first * column;
                const Index y_step = h.stride * row, x_step = w.stride * column;
                const bool turned = y.length < x.length;
                Pair pair;  // field by field: braces would set all of `step` to zero first
                pair.from = from;
                pair.longer = turned ? x.length : y.length, pair.shorter = turned ? y.length : x.length;
                pair.long_step = turned ? x_step : y_step, pair.short_step = turned ? y_step : x_step;
                for (Index p = 0; p < winograd_points; ++p)
                    pair.step[turned ? p % 4 : p / 4][turned ? p / 4 : p % 4] =
                        begin[p] * channels + c * at_point[p] + i * w.with_point[p % 4] + j;
                visit(pair);
            }
    }
};

// The point that number i of a piece of `taps` belongs to.
constexpr int point_of(Index taps, int i) { return i == taps ? 3 : i; }

// The numbers d that a piece of `taps` sees, `step` apart, become what meets its taps.
template <int taps, class V>
inline void transform_inputs(V* d, int step) {
    if constexpr (taps == 3) {
        const V d1 = d[step], d2 = d[2 * step];
        d[0] = d[0] - d2;
        d[step] = d1 + d2;
        d[2 * step] = d2 - d1;
        d[3 * step] = d1 - d[3 * step];
    } else if constexpr (taps == 2) {
        d[0] = d[0] - d[step];
        d[2 * step] = d[step] - d[2 * step];
    }
}

// The taps g of a piece, `step` apart, become what meets its inputs.
template <class T, int taps, class V>
inline void transform_taps(V* g, int step) {
    if constexpr (taps == 3) {
        const V outer = (g[0] + g[2 * step]) * T(0.5), inner = g[step] * T(0.5);
        g[3 * step] = g[2 * step];
        g[step] = outer + inner;
        g[2 * step] = outer - inner;
    } else if constexpr (taps == 2) {
        g[2 * step] = g[step];
        g[step] = g[0] + g[step];
    } else {
        g[step] = -g[0];
    }
}

// Four products m, `step` apart, become two outputs.
template <class V>
inline void transform_products(V* m, int step) {
    const V y0 = m[0] + m[step] + m[2 * step];
    m[step] = m[step] - m[2 * step] - m[3 * step];
    m[0] = y0;
}

// Channels of a tile of up to tile_rows filters -> U (point, channel, pair of pieces, tile_rows). Lanes that are left
// over repeat the last filter.
template <class T>
void transform_filters(const Pieces& pieces, const Weights<T>& weights, Index first, Index rows, Range channels, T* U) {
    static_assert(tile_rows == 4 || tile_rows == 6, "a vector of 4, and one of 2 where there are 6");
    constexpr int N = tile_rows > 4 ? 8 : 4;
    for (Index c = channels.begin; c < channels.end; ++c) {
        const T* f[tile_rows];
        for (Index i = 0; i < tile_rows; ++i)
            f[i] = weights.data + (first + smaller(i, rows - 1)) * weights.row_step + c * weights.channel_step;
        pieces.for_each(c - channels.begin, channels.size(), pieces.w.taps, 1, [&](const Pair& pair) {
            const Index* const taps = weights.taps + pair.from;
            pair.with_lengths([&](auto h, auto w) {
                constexpr int H = h.value, W = w.value;
                Lanes<T, N> g[H + 1][W + 1] = {};
                repeat<W>([&](auto j) {
                    repeat<H>([&](auto i) {
                        const Index tap = taps[i.value * pair.long_step + j.value * pair.short_step];
                        repeat<tile_rows>([&](auto r) { g[i.value][j.value][r.value] = f[r.value][tap]; });
                    });
                    transform_taps<T, H>(&g[0][j.value], W + 1);
                });
                repeat<H + 1>([&](auto i) {
                    transform_taps<T, W>(g[i.value], 1);
                    repeat<W + 1>([&](auto j) {
                        const Lanes<T, N>& u = g[i.value][j.value];
                        T* const to = U + pair.step[point_of(H, i.value)][point_of(W, j.value)] * tile_rows;
                        store<4>(to, __builtin_shufflevector(u, u, 0, 1, 2, 3));
                        if constexpr (tile_rows > 4) store<2>(to + 4, __builtin_shufflevector(u, u, 4, 5));
                    });
                });
            });
        });
    }
}

// Channel c's patches (panel, pixel, tile_columns) -> V (panel, point, channel, pair of pieces, winograd_columns).
template <class T>
void transform_patches(const Pieces& pieces, const T* pixels, Index vectors, Index c, Index channels, T* V) {
    constexpr Index L = vector_lanes<T>, TC = tile_columns<T>, WC = winograd_columns<T>;
    const Index panel = pieces.patch() * TC;
    pieces.for_each(c, channels, pieces.w.patch * TC, TC, [&](const Pair& pair) {
        pair.with_lengths([&](auto h, auto w) {
            constexpr int H = h.value, W = w.value;
            for (Index v = 0; v < vectors; ++v) {
                const T* from = pixels + pair.from + v / tile_vectors * panel + v % tile_vectors * L;
                T* to = V + v / winograd_vectors * pieces.products * channels * WC + v % winograd_vectors * L;
                Vector<T> d[H + 1][W + 1];
                repeat<W + 1>([&](auto j) {
                    repeat<H + 1>([&](auto i) {
                        d[i.value][j.value] = load<L>(from + i.value * pair.long_step + j.value * pair.short_step);
                    });
                    transform_inputs<H>(&d[0][j.value], W + 1);
                });
                repeat<H + 1>([&](auto i) {
                    transform_inputs<W>(d[i.value], 1);
                    repeat<W + 1>([&](auto j) {
                        store<L>(to + pair.step[point_of(H, i.value)][point_of(W, j.value)] * WC,
                                 d[i.value][j.value]);
                    });
                });
            }
        });
    });
}

// M (point, filter, winograd_columns) of one filter -> sums (2x2, tiles), or added to these.
template <class T>
void transform_outputs(const T* M, Index vectors, T* sums, Index tiles, bool accumulate) {
    constexpr Index L = vector_lanes<T>;
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
