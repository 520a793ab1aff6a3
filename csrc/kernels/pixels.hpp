// The second micro-kernel: sums for some neighbouring pixels, of products with many filters each.
//
//   x        where the pixels lie: those of step k side by side from offsets[k] on
//   weights  (step, tile_columns)          a panel of B (packing.hpp)
//   sums     (tile_pixels, tile_columns)   a column for each filter
//
// The pixels are broadcast and the weights are vectors, where tile.hpp has it the other way round. So the pixels need
// not be packed, which with the registers of AVX-512 is worth more than what it takes to transpose the sums.
#pragma once

#include "packing.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index tile_pixels = 7;  // it divides the width of most networks' images

// So many products make a sum, which then joins the total: several short sums have fewer roundings than a long one.
constexpr Index products_at_once(Index K) { return K <= 256 ? 128 : 64; }

// Would nearly all tiles be full?
inline bool tiles_are_full(Index pixels) { return 20 * rounded_up(pixels, tile_pixels) <= 21 * pixels; }

// sums = the products of K steps, and the filters' bias `b` where it is not null. Wanted soon: what lies at `ahead` and
// ahead_step apart behind it, a line of the cache with every step; and for each filter, y_step apart, one of y.
template <class T>
PYCONV_ONCE void multiply_pixels(const T* x, const Index* offsets, Index K, const T* weights, const T* b, T* sums,
                                 const T* ahead, Index ahead_step, const T* y, Index y_step) {
    constexpr int R = int(tile_pixels), VS = int(tile_vectors), L = int(vector_lanes<T>);
    constexpr Index TC = tile_columns<T>;
    const Index most = products_at_once(K);
    const T *next_y = y, *const end_y = y + TC * y_step;
    for (Index k = 0; k < K; k += most) {
        Vector<T> sum[R][VS];
        const auto step = [&](auto is_first) __attribute__((always_inline)) {
            // A CPU that is asked for much at once forgets some.
            __builtin_prefetch(ahead, 0, 2);
            __builtin_prefetch(next_y, 1);
            ahead += ahead_step;
            next_y = next_y + y_step == end_y ? y : next_y + y_step;
            const T* const pixels = x + *offsets++;
            Vector<T> row[VS];
            repeat<VS>([&](auto v) { row[v.value] = load<L>(weights + v.value * L); });
            for_tile<R, VS>([&](int i, int v) {
                if constexpr (is_first.value)
                    sum[i][v] = pixels[i] * row[v];
                else
                    sum[i][v] += pixels[i] * row[v];
            });
            weights += TC;
        };
        step(Constant<true>());  // not sums of zeros, which first have to be made
        for (Index left = smaller(most, K - k) - 1; left > 0; --left) step(Constant<false>());
        if (k > 0)
            for_tile<R, VS>([&](int i, int v) { sum[i][v] += load<L>(sums + i * TC + v * L); });
        else if (b)
            for_tile<R, VS>([&](int i, int v) { sum[i][v] += load<L>(b + v * L); });
        for_tile<R, VS>([&](int i, int v) { store<L>(sums + i * TC + v * L, sum[i][v]); });
    }
}

// to[f * to_step + i] = sums[i][f] for L neighbouring pixels and L filters, L a vector's lanes
template <class T>
void transpose_sums(const T* sums, T* to, Index to_step) {
    constexpr Index L = vector_lanes<T>;
    transpose_square(sums, tile_columns<T>, L, to, to_step, Counting<int(L)>());
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
