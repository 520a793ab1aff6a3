// Depthwise convolution: as many groups as channels, each with one filter. There is no matrix product in it, and
// memory's speed is its limit: each plane is read once and written once.
//
//   x, dx    (N, C, H, W)
//   W, dW    (C, 1, FH, FW)
//   y, dout  (N, C, OH, OW)
#pragma once

#include "depthwise_rows.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Where results go: y(n, c, oy, ox) at the given steps.
template <class T>
struct Placed {
    T* data;
    Index image_step, channel_step, row_step, column_step;

    void clear(Index images, Index channels, Extent size) const {
        for (Index row = 0; row < images * channels * size.h; ++row) {
            const Index plane = row / size.h;
            T* to = data + plane / channels * image_step + plane % channels * channel_step + row % size.h * row_step;
            for (Index i = 0; i < size.w; ++i) to[i * column_step] = 0;
        }
    }

    // Takes the rows of a strip of channel c, row_size numbers from one to the next; the strip lies within an image.
    void take_rows(const Geometry& g, Range strip, Index c, const T* from, Index row_size) const {
        const Index OH = g.output.h, OW = g.output.w;
        T* to = data + strip.begin / OH * image_step + c * channel_step + strip.begin % OH * row_step;
        for (Index row = 0; row < strip.size(); ++row, from += row_size, to += row_step)
            spread(to, column_step, from, OW);
    }
};

// to[i * to_step + lane] = b + sum over taps of w[tap] * from[offsets[tap] + i * from_step + lane] for vectors i from
// `begin` on, a number of them at a time while that many are left before `end`. Answers where it stopped.
template <int vectors, class T>
inline Index filter_vectors(const T* from, Index from_step, const Index* offsets, const T* w, Index taps, T b,
                            Index begin, Index end, T* to, Index to_step) {
    constexpr int L = int(vector_lanes<T>);
    for (; begin + vectors <= end; begin += vectors) {
        Vector<T> sum[vectors];
        repeat<vectors>([&](auto v) { sum[v.value] = broadcast<L>(b); });
        for (Index tap = 0; tap < taps; ++tap) {
            const T* const at = from + offsets[tap] + begin * from_step;
            repeat<vectors>([&](auto v) { sum[v.value] += w[tap] * load<L>(at + v.value * from_step); });
        }
        repeat<vectors>([&](auto v) { store<L>(to + (begin + v.value) * to_step, sum[v.value]); });
    }
    return begin;
}

// The same for `count` vectors, as many together as have sums that do not wait for each other.
template <class T>
void filter_all(const T* from, Index from_step, const Index* offsets, const T* w, Index taps, T b, Index count, T* to,
                Index to_step) {
    Index done = filter_vectors<8>(from, from_step, offsets, w, taps, b, 0, count, to, to_step);
    done = filter_vectors<4>(from, from_step, offsets, w, taps, b, done, count, to, to_step);
    filter_vectors<1>(from, from_step, offsets, w, taps, b, done, count, to, to_step);
}

// Results by a kernel of depthwise_rows.hpp for so many lanes: y (N, C, OH, OW), the taps as convolve_planes has them.
template <class T>
void filter_planes(FilterStrip<T> filter, Index lanes, const T* x, const T* w, Index w_step, const Index* order,
                   const T* b, T* y, const Geometry& g, bool relu) {
    const Index C = g.input.c, OH = g.output.h, OW = g.output.w;
    const RowCuts cuts(g, lanes);
    const Index units = g.input.n * C * cuts.per_plane;
    const int parts = threads_for(units, double(g.input.n * C) * double(OH * OW * g.taps));
    const Index lines_size = cuts.lines_size(g);
    const Index part_size = rounded_up(lines_size + cuts.rows * OW + lanes, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Mask<T>> masks(cuts.masks_size(g));
    cuts.find_masks(g, false, masks.data());
    run_each(parts, [&](int part) {
        T* const copies = scratch.data() + part * part_size;
        T* const rows = copies + lines_size;
        const Range mine = share(units, parts, part);
        const T* const end = y + cuts.first_row(g, mine.end) * OW;
        Index plane = mine.begin / cuts.per_plane, c = plane % C, at = mine.begin % cuts.per_plane;
        T* to = y + cuts.first_row(g, mine.begin) * OW;
        for (Index unit = mine.begin; unit < mine.end; ++unit) {
            const Range strip = cuts.strip(g, at);
            // what the last vector writes behind the strip is overwritten by the next strip, if that is this part's
            const bool direct = OW >= lanes || to + (strip.size() - 1) * OW + lanes <= end;
            const Index size = strip.size() * OW;
            T* const results = direct ? to : rows;
            filter(cuts, cuts.lines(g, x, plane, strip, copies), strip.size(), w + c * w_step, order, b ? b[c] : T(0),
                   masks.data(), results, OW);
            if (relu) pass_relu(results, results, results, size);
            if (!direct) copy(to, rows, size);
            to += size;
            if (++at < cuts.per_plane) continue;
            at = 0, ++plane;
            if (++c == C) c = 0;
        }
    });
}

// Results of a depthwise convolution with the taps of each channel at w[channel * w_step + order[tap]]. Other windows'
// lines are copied, zeros around them, and stay in the cache while they are filtered.
template <class T>
void convolve_planes(const T* x, const T* w, Index w_step, const Index* order, const T* b, const Placed<T>& y,
                     const Geometry& g, bool relu) {
    constexpr Index L = vector_lanes<T>;
    const Index C = g.input.c, OW = g.output.w;
    if (y.column_step == 1 && y.row_step == OW) {
        const auto filter = [&](auto lanes, auto F, auto S) {
            constexpr int N = decltype(lanes)::value;
            filter_planes(filter_strip<N, F.value, S.value, T>, N, x, w, w_step, order, b, y.data, g, relu);
        };
        if (with_row_kernel<T, 7>(g, filter)) return;
    }
    const Strips<T> strips(g.input.n, g.output, true);
    // With stride 1 the rows of a strip are filtered as one, together with what lies between them.
    const bool as_one = g.window.h.stride == 1 && g.window.w.stride == 1;
    const Index units = strips.count * C, row_size = as_one ? g.pitch : rounded_up(OW, L);
    const int parts = threads_for(units, double(g.input.n * C) * double(g.output.h * OW * g.taps));
    const Index lines_size = g.lines_size(strips.rows) + 2 * L, rows_size = strips.rows * row_size + L;
    const Index part_size = rounded_up(lines_size + rows_size + g.taps, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> offsets(g.taps);
    g.find_offsets(offsets.data());
    run_each(parts, [&](int part) {
        T* const lines = scratch.data() + part * part_size;
        T* const rows = lines + lines_size;
        T* const taps = rows + rows_size;
        const Range mine = share(units, parts, part);
        fill(lines, lines_size, T(0));
        for (Index unit = mine.begin; unit < mine.end; ++unit) {
            // strips of a plane, planes of an image: memory is read in order
            const Index n = unit / strips.per_image / C, c = unit / strips.per_image % C;
            const Range strip = strips.at(n * strips.per_image + unit % strips.per_image);
            copy_lines(g, x, {c, c + 1}, strip, lines, lines_size, strips.per_image > 1);
            for (Index t = 0; t < g.taps; ++t) taps[t] = w[c * w_step + order[t]];
            const T bias = b ? b[c] : T(0);
            if (as_one) {
                const Index count = divided_up((strip.size() - 1) * g.pitch + OW, L);
                filter_all(lines, L, offsets.data(), taps, g.taps, bias, count, rows, L);
            } else {
                for (Index q = 0; q < row_size; q += L)  // of all rows at once
                    filter_all(lines + q, g.window.h.stride * g.pitch, offsets.data(), taps, g.taps, bias,
                               strip.size(), rows + q, row_size);
            }
            if (relu) pass_relu(rows, rows, rows, (strip.size() - 1) * row_size + OW);
            y.take_rows(g, strip, c, rows, row_size);
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
