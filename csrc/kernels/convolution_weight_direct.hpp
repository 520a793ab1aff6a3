// The gradient of a few weights, each a sum over many positions: of a first layer, say, with 25 taps of one channel.
//
//   x         (N, C, H, W)
//   dW, db    (FN, C, FH, FW)   K = C*FH*FW;  db (FN)
//   dout      (N, FN, OH, OW)
//
// A vector holds neighbouring positions of an output row, as they lie in dout and in the lines (geometry.hpp): nothing
// is packed, which would take as long as a fifth of so few products. A tile of taps and filters meets all positions of
// a strip; lanes are added up at the end.
#pragma once

#include "convolution.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index few_taps = 48, few_weights = 1 << 14;
constexpr int direct_taps = 5, direct_filters = 5;  // of a tile: as many sums as AVX-512 has registers for
// Half of AVX-512's vectors fit rows better, and of these it adds as many numbers a cycle, or nearly.
template <class T>
constexpr int direct_lanes = int(larger(vector_lanes<T> / 2, 2));

// Sixteen registers hold too few sums for loads to be worth their time, and rows of less than two vectors end too soon.
// Not for float64: what that does most, checking gradients, is not worth the room.
template <class T>
bool weights_are_few(const Geometry& g, const Sizes& s, Index groups) {
    const bool few = s.K <= few_taps && s.FG * s.K <= few_weights;
    return is_avx512_float<T> && groups == 1 && few && s.K >= direct_taps &&
           s.FG >= direct_filters && g.output.w >= 2 * direct_lanes<T>;
}

// sums (direct_taps, direct_filters, N) += products of taps with gradients, position by position.
// x[i]: tap i's stream, in which rows begin at row_start; d[j]: filter j's rows, OW numbers each.
template <int N, class T>
PYCONV_ONCE void add_products(const T* const* x, const T* const* d, const Index* row_start, Index rows, Index OW,
                              T* sums) {
    Lanes<T, N> sum[direct_taps][direct_filters] = {};
    const auto add = [&](Index from, Index to, Index counted) __attribute__((always_inline)) {
        Lanes<T, N> taps[direct_taps];
        repeat<direct_taps>([&](auto i) { taps[i.value] = load<N>(x[i.value] + from); });
        repeat<direct_filters>([&](auto j) __attribute__((always_inline)) {
            Lanes<T, N> gradient = load<N>(d[j.value] + to);
            if (counted > 0) gradient = lane_numbers<T, N>() < WholeLanes<T>(counted) ? Lanes<T, N>{} : gradient;
            repeat<direct_taps>([&](auto i) __attribute__((always_inline)) {
                sum[i.value][j.value] += taps[i.value] * gradient;
            });
        });
    };
    for (Index row = 0; row < rows; ++row) {
        Index ox = 0;
        for (; ox + N <= OW; ox += N) add(row_start[row] + ox, row * OW + ox, 0);
        // The last vector overlaps the one before: what was counted there is nothing here.
        if (ox < OW) add(row_start[row] + OW - N, row * OW + OW - N, N - (OW - ox));
    }
    repeat<direct_taps>([&](auto i) __attribute__((always_inline)) {
        repeat<direct_filters>([&](auto j) __attribute__((always_inline)) {
            T* const to = sums + (i.value * direct_filters + j.value) * N;
            store<N>(to, load<N>(to) + sum[i.value][j.value]);
        });
    });
}

template <class T>
void few_weights_gradient(const T* x, const T* dout, T* dW, T* db, const Geometry& g, const Sizes& s) {
    constexpr int R = direct_taps, C = direct_filters, N = direct_lanes<T>;
    const Strips<T> strips(g.input.n, g.output, true);
    const Index plane = g.input.h * g.input.w, OW = g.output.w, FN = s.FG, K = s.K;
    const Index tap_tiles = divided_up(K, R), filter_tiles = divided_up(FN, C);
    const Index line_step = g.lines_size(strips.rows), channel_step = g.in_place ? plane : line_step;
    const Index sums_size = tap_tiles * filter_tiles * R * C * N + FN;
    const Index part_size = rounded_up(sums_size + g.input.c * line_step, 64 / Index(sizeof(T)));
    const int parts = threads_for(strips.count, double(g.input.n * s.P) * double(K * FN));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> streams(K), row_starts(parts * strips.rows);
    for (Index k = 0; k < K; ++k) streams.data()[k] = k / g.taps * channel_step + g.tap_offset(k % g.taps);
    // A last tile may overlap the one before.
    const auto first_tap = [&](Index tile) { return smaller(tile * R, K - R); };
    const auto first_filter = [&](Index tile) { return smaller(tile * C, FN - C); };
    run_each(parts, [&](int part) {
        T* const sums = scratch.data() + part * part_size;
        T* const part_db = sums + sums_size - FN;
        T* const lines = sums + sums_size;
        Index* const row_start = row_starts.data() + part * strips.rows;
        fill(sums, part_size, T(0));  // lines as well
        const Range mine = share(strips.count, parts, part);
        for (Index at = mine.begin; at < mine.end; ++at) {
            const Range strip = strips.at(at);
            const Index positions = strip.size() * OW;
            const T* const planes = dout + strip.begin / g.output.h * FN * s.P + strip.begin % g.output.h * OW;
            if (!g.in_place) copy_lines(g, x, {0, g.input.c}, strip, lines, line_step, true);
            g.find_rows(strip, row_start);
            for (Index f_tile = 0; f_tile < filter_tiles; ++f_tile) {
                const T *taps[R], *gradients[C];
                for (Index j = 0; j < C; ++j) gradients[j] = planes + (first_filter(f_tile) + j) * s.P;
                for (Index k_tile = 0; k_tile < tap_tiles; ++k_tile) {
                    const Index* const stream = streams.data() + first_tap(k_tile);
                    for (Index i = 0; i < R; ++i) taps[i] = (g.in_place ? x : lines) + stream[i];
                    add_products<N>(taps, gradients, row_start, strip.size(), OW,
                                    sums + (f_tile * tap_tiles + k_tile) * R * C * N);
                }
                for (Index f = f_tile * C; f < smaller(f_tile * C + C, FN); ++f)
                    part_db[f] += sum(planes + f * s.P, positions);
            }
        }
    });
    for (Index f = 0; f < FN; ++f) {
        const Index f_tile = f / C;
        for (Index k = 0; k < K; ++k) {
            const Index k_tile = k / R, i = k - first_tap(k_tile), j = f - first_filter(f_tile);
            const T* const of = scratch.data() + ((f_tile * tap_tiles + k_tile) * R * C + i * C + j) * N;
            T total = 0;
            for (int part = 0; part < parts; ++part) total += sum_lanes<T, N>(load<N>(of + part * part_size));
            dW[f * K + k] = total;
        }
        db[f] = sum_of_parts(scratch.data() + sums_size - FN + f, part_size, parts);
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
