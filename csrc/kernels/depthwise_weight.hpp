// Depthwise convolution backward with respect to weights.
//
//   x       (N, C, H, W)
//   dW, db  (C, 1, FH, FW), (C)
//   dout    (N, C, OH, OW)
#pragma once

#include "depthwise_rows.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// dW and db by a kernel of depthwise_rows.hpp for so many lanes.
template <class T>
void sum_planes(SumStrip<T> sum_up, Index lanes, const T* x, const T* dout, T* dW, T* db, const Geometry& g) {
    const Index N = g.input.n, C = g.input.c, OH = g.output.h, OW = g.output.w;
    const RowCuts cuts(g, lanes);
    const int parts = threads_for(C, double(N * C) * double(OH * OW * g.taps));
    // channels that are summed together, so that memory is read in long runs
    const Index together = smaller(C, larger(4096 / (OH * OW), 16));
    const Index lines_size = cuts.lines_size(g), rows_size = cuts.rows * OW + lanes, taps_size = (g.taps + 1) * lanes;
    const Index part_size = rounded_up(lines_size + rows_size + together * taps_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Mask<T>> masks(cuts.masks_size(g));
    cuts.find_masks(g, true, masks.data());
    run_each(parts, [&](int part) {
        T* const sums = scratch.data() + part * part_size;
        T* const copies = sums + together * taps_size;
        T* const rows = copies + lines_size;
        const Range mine = share(C, parts, part);
        for (Index first = mine.begin; first < mine.end; first += together) {
            const Index channels = smaller(together, mine.end - first);
            fill(sums, channels * taps_size, T(0));
            for (Index n = 0; n < N; ++n)
                for (Index c = 0; c < channels; ++c)
                    for (Index at = 0; at < cuts.per_plane; ++at) {
                        const Range strip = cuts.strip(g, at);
                        const Index plane = n * C + first + c, from = (plane * OH + strip.begin) * OW;
                        const T* gradient = dout + from;
                        // a vector must not leave dout
                        if (from + (strip.size() - 1) * OW + larger(lanes, OW) > N * C * OH * OW) {
                            copy(rows, gradient, strip.size() * OW);
                            gradient = rows;
                        }
                        sum_up(cuts, cuts.lines(g, x, plane, strip, copies), strip.size(), gradient, OW, masks.data(),
                               sums + c * taps_size);
                    }
            for (Index c = 0; c < channels; ++c) {
                T* const to = dW + (first + c) * g.taps;
                for (Index t = 0; t <= g.taps; ++t)
                    (t < g.taps ? to[t] : db[first + c]) = sum(sums + c * taps_size + t * lanes, lanes);
            }
        }
    });
}

// dW and db of every channel: for each tap, the product of dout with the pixels under it.
template <class T>
void plane_weight_gradient(const T* x, const T* dout, T* dW, T* db, const Geometry& g) {
    using V = Vector<T>;
    constexpr Index L = vector_lanes<T>;
    constexpr int together = 9;  // taps summed at a time
    const Index N = g.input.n, C = g.input.c, OW = g.output.w, OH = g.output.h;
    const auto sum_up = [&](auto lanes, auto F, auto S) {
        constexpr int N = decltype(lanes)::value;
        sum_planes(sum_strip<N, F.value, S.value, T>, N, x, dout, dW, db, g);
    };
    if (with_row_kernel<T, 5>(g, sum_up)) return;
    const Index row_size = rounded_up(OW, L), groups = divided_up(g.taps, together);
    const Strips<T> strips(1, g.output, true);
    const int parts = threads_for(C, double(N * C) * double(OH * OW * g.taps));
    const Index lines_size = g.lines_size(strips.rows) + 2 * L, rows_size = strips.rows * row_size + L;
    const Index part_size = rounded_up(lines_size + rows_size + groups * together * L, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> tables(groups * together + parts * strips.rows);
    Index* const offsets = tables.data();
    for (Index t = 0; t < groups * together; ++t) offsets[t] = g.tap_offset(smaller(t, g.taps - 1));
    run_each(parts, [&](int part) {
        T* const sums = scratch.data() + part * part_size;
        T* const rows = sums + groups * together * L;
        T* const lines = rows + rows_size;
        Index* const row_start = offsets + groups * together + part * strips.rows;
        const Range channels = share(C, parts, part);
        fill(sums, part_size, T(0));
        for (Index c = channels.begin; c < channels.end; ++c) {
            fill(sums, groups * together * L, T(0));
            V sum_db = {};
            for (Index n = 0; n < N; ++n)
                for (Index at = 0; at < strips.count; ++at) {
                    const Range in_image = strips.at(at), strip{n * OH + in_image.begin, n * OH + in_image.end};
                    g.find_rows(strip, row_start);
                    copy_lines(g, x, {c, c + 1}, strip, lines, lines_size, strips.count > 1);
                    // the gradient's rows, zeros between them
                    for (Index row = 0; row < strip.size(); ++row)
                        copy(rows + row * row_size, dout + ((n * C + c) * OH + in_image.begin + row) * OW, OW);
                    for (Index v = 0; v < strip.size() * row_size; v += L) sum_db += load<int(L)>(rows + v);
                    for (Index t = 0; t < groups * together; t += together) {
                        V sum[together];
                        repeat<together>([&](auto i) { sum[i.value] = V{}; });
                        for (Index row = 0; row < strip.size(); ++row)
                            for (Index v = 0; v < row_size; v += L) {
                                const V gradient = load<int(L)>(rows + row * row_size + v);
                                const T* pixels = lines + row_start[row] + v;
                                // pixels behind the row are left out: 0 * NaN is not 0
                                const auto inside = lane_numbers<T, int(L)>() < WholeLanes<T>(OW - v);
                                repeat<together>([&](auto i) {
                                    const V under = load<int(L)>(pixels + offsets[t + i.value]);
                                    sum[i.value] += gradient * (inside ? under : V{});
                                });
                            }
                        repeat<together>([&](auto i) {
                            T* const to = sums + (t + i.value) * L;
                            store<int(L)>(to, load<int(L)>(to) + sum[i.value]);
                        });
                    }
                }
            for (Index t = 0; t < g.taps; ++t) dW[c * g.taps + t] = sum(sums + t * L, L);
            db[c] = sum_lanes<T, int(L)>(sum_db);
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
