// Depthwise convolution backward with respect to data, for small square filters and strides of 2.
//
//   dx    (N, C, H, W)
//   W     (C, 1, F, F)
//   dout  (N, C, OH, OW)
//
// In the padded image, pixels 2*m and 2*m + 1 of a row or column are *pair* m. Tap 2*j + half sends what position m - j
// has to that half of the pair. So a vector of dout, loaded once, serves all four pixels that a pair of rows and one of
// columns have in common.
#pragma once

#include "depthwise_rows.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// The pixels of a strip's `rows` pairs of rows: in rows of whole vectors, to_step elements from one to the next.
template <int N, int F, class T>
void sum_pairs(const RowCuts& cuts, const Lines<T>& lines, Index rows, const T* weights, const Mask<T>* masks, T* to,
               Index to_step) {
    using V = Lanes<T, N>;
    constexpr int R = (F + 1) / 2;  // positions of a row that send to a pair
    V w[F * F];
    repeat<F * F>([&](auto t) { w[t.value] = broadcast<N>(weights[t.value]); });
    for (Index column = 0; column < cuts.columns; ++column, masks += (R + 1) * N) {
        const T* from = lines.first + cuts.start(column);
        T* pair = to + 2 * cuts.start(column);
        V seen[R][R] = {};  // what position (m - i, n - j) has, for a vector of pairs (m, n)
        for (Index line = 0; line < rows + R - 1; ++line) {
            const bool inside = line >= lines.inside.begin && line < lines.inside.end;
            repeat<R>([&](auto j) {
                constexpr int tap = R - 1 - decltype(j)::value;
                repeat<R - 1>([&](auto i) { seen[R - 1 - i.value][j.value] = seen[R - 2 - i.value][j.value]; });
                seen[0][j.value] = inside ? masked<N>(load<N>(from + tap), load<N>(masks + tap * N)) : V{};
            });
            if (inside) from += lines.width;
            if (line < R - 1) continue;
            repeat<2>([&](auto half_h) {
                V sums[2] = {};
                repeat<R * R>([&](auto ij) {
                    constexpr int i = decltype(ij)::value / R, j = decltype(ij)::value % R;
                    repeat<2>([&](auto half_w) {
                        constexpr int fy = 2 * i + decltype(half_h)::value, fx = 2 * j + decltype(half_w)::value;
                        if constexpr (fy < F && fx < F) sums[half_w.value] += w[fy * F + fx] * seen[i][j];
                    });
                });
                store_alternately(pair + half_h.value * to_step, sums[0], sums[1], Counting<N>());
            });
            pair += 2 * to_step;
        }
    }
}

// dx of the convolution that g describes, strip by strip, by way of rows of the padded image.
template <int N, int F, class T>
void gather_pairs(const T* dout, const T* W, T* dx, const Geometry& g) {
    const Shape& input = g.input;
    const Index C = input.c, pad_h = g.window.h.pad_before, pad_w = g.window.w.pad_before;
    // Pair 0 here is the first with a pixel in the image, which may be its second.
    const auto seen_by_pairs = [](Index pad) { return Axis{(F + 1) / 2, 1, 1, (F - 1) / 2 - pad / 2, 0}; };
    const Index skip_h = pad_h % 2, skip_w = pad_w % 2;
    const Geometry pairs({input.n, C, g.output.h, g.output.w},
                         {divided_up(skip_h + input.h, 2), divided_up(skip_w + input.w, 2)},
                         {seen_by_pairs(pad_h), seen_by_pairs(pad_w)}, false);
    const RowCuts cuts(pairs, N);
    const Index units = input.n * C * cuts.per_plane, row_size = 2 * larger(pairs.output.w, N);
    const int parts = threads_for(units, double(input.n * C) * double(g.output.h * g.output.w * g.taps));
    const Index lines_size = cuts.lines_size(pairs);
    const Index part_size = rounded_up(lines_size + 2 * cuts.rows * row_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Mask<T>> masks(cuts.masks_size(pairs));
    cuts.find_masks(pairs, false, masks.data());
    run_each(parts, [&](int part) {
        T* const copies = scratch.data() + part * part_size;
        T* const rows = copies + lines_size;
        const Range mine = share(units, parts, part);
        for (Index unit = mine.begin; unit < mine.end; ++unit) {
            const Index plane = unit / cuts.per_plane;
            const Range strip = cuts.strip(pairs, unit % cuts.per_plane);
            sum_pairs<N, F>(cuts, cuts.lines(pairs, dout, plane, strip, copies), strip.size(), W + plane % C * g.taps,
                            masks.data(), rows, row_size);
            const Index first = 2 * strip.begin - skip_h;  // row of the image in the first of these
            for (Index y = larger(first, 0); y < smaller(2 * strip.end - skip_h, input.h); ++y)
                copy(dx + (plane * input.h + y) * input.w, rows + (y - first) * row_size + skip_w, input.w);
        }
    });
}

// The same, if there is a kernel for the window; answers whether.
template <class T>
bool gather_planes_of_pairs(const T* dout, const T* W, T* dx, const Geometry& g) {
    return g.window.h.stride == 2 && with_row_kernel<T, 5>(g, [&](auto lanes, auto F, auto stride) {
        if constexpr (stride.value == 2) gather_pairs<lanes.value, F.value>(dout, W, dx, g);
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
