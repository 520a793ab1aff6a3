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

// to[p] = b + sum over taps of w[tap] * from[offsets[tap] + p] for p in [begin, end), a number of vectors at a time
// while that many fit. Answers where it stopped.
template <int vectors, class T>
inline Index filter_vectors(const T* from, const Index* offsets, const T* w, Index taps, T b, Index begin, Index end,
                            T* to) {
    using V = Vector<T>;
    for (; begin + vectors * vector_lanes<T> <= end; begin += vectors * vector_lanes<T>) {
        V sum[vectors];
        repeat<vectors>([&](auto v) { sum[v.value] = broadcast<int(vector_lanes<T>)>(b); });
        for (Index tap = 0; tap < taps; ++tap) {
            const V* at = reinterpret_cast<const V*>(from + offsets[tap] + begin);
            repeat<vectors>([&](auto v) { sum[v.value] += w[tap] * at[v.value]; });
        }
        repeat<vectors>([&](auto v) { reinterpret_cast<V*>(to + begin)[v.value] = sum[v.value]; });
    }
    return begin;
}

// The same for p in [0, count). Behind `from` and `to` there is room for what whole vectors reach beyond.
template <class T>
void filter_run(const T* from, const Index* offsets, const T* w, Index taps, T b, Index count, T* to) {
    const Index end = rounded_up(count, vector_lanes<T>);
    Index done = filter_vectors<8>(from, offsets, w, taps, b, 0, end, to);
    done = filter_vectors<4>(from, offsets, w, taps, b, done, end, to);
    done = filter_vectors<2>(from, offsets, w, taps, b, done, end, to);
    filter_vectors<1>(from, offsets, w, taps, b, done, end, to);
}

// Results where depthwise_rows.hpp has a kernel for the window: y (N, C, OH, OW), the taps as convolve_planes has them.
template <class T>
void filter_planes(const T* x, const T* w, Index w_step, const Index* order, const T* b, T* y, const Geometry& g,
                   bool relu) {
    const Index C = g.input.c, OH = g.output.h, OW = g.output.w;
    Index lanes = 0;
    auto filter = filter_strip<int(vector_lanes<T>), 3, T>;
    with_row_kernel<T>(g, [&](auto N, auto F) {
        lanes = N.value;
        filter = filter_strip<N.value, F.value, T>;
    });
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
    if (has_row_kernel(g) && y.column_step == 1 && y.row_step == OW)
        return filter_planes(x, w, w_step, order, b, y.data, g, relu);
    const Strips<T> strips(g.input.n, g.output, true);
    // With stride 1 the rows of a strip are filtered as one, together with what lies between them.
    const bool as_one = g.window.h.stride == 1 && g.window.w.stride == 1;
    const Index units = strips.count * C, row_size = as_one ? g.pitch : rounded_up(OW, L);
    const int parts = threads_for(units, double(g.input.n * C) * double(g.output.h * OW * g.taps));
    const Index lines_size = g.lines_size(strips.rows) + 2 * L, rows_size = strips.rows * row_size + L;
    const Index part_size = rounded_up(lines_size + rows_size + g.taps, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> tables(g.taps + parts * strips.rows);
    Index* const offsets = tables.data();
    g.find_offsets(offsets);
    run_each(parts, [&](int part) {
        T* const lines = scratch.data() + part * part_size;
        T* const rows = lines + lines_size;
        T* const taps = rows + rows_size;
        Index* const row_start = offsets + g.taps + part * strips.rows;
        const Range mine = share(units, parts, part);
        fill(lines, lines_size, T(0));
        for (Index unit = mine.begin; unit < mine.end; ++unit) {
            // strips of a plane, planes of an image: memory is read in order
            const Index n = unit / strips.per_image / C, c = unit / strips.per_image % C;
            const Range strip = strips.at(n * strips.per_image + unit % strips.per_image);
            g.find_rows(strip, row_start);
            copy_lines(g, x, {c, c + 1}, strip, lines, lines_size, strips.per_image > 1);
            for (Index t = 0; t < g.taps; ++t) taps[t] = w[c * w_step + order[t]];
            const T bias = b ? b[c] : T(0);
            if (as_one)
                filter_run(lines, offsets, taps, g.taps, bias, (strip.size() - 1) * g.pitch + OW, rows);
            else
                for (Index row = 0; row < strip.size(); ++row)
                    filter_run(lines + row_start[row], offsets, taps, g.taps, bias, OW, rows + row * row_size);
            if (relu) pass_relu(rows, rows, rows, (strip.size() - 1) * row_size + OW);
            y.take_rows(g, strip, c, rows, row_size);
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
