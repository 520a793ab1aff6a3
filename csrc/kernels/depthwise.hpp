// Depthwise convolution: as many groups as channels, each with one filter. There is no matrix product in it, and a
// memory's speed is its limit: each plane is read once and written once, its lines staying in the cache between.
//
//   x, dx    (N, C, H, W)
//   W, dW    (C, 1, FH, FW)
//   y, dout  (N, C, OH, OW)
#pragma once

#include "geometry.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// to[p] = b + sum over taps of w[tap] * from[offsets[tap] + p] for p in [begin, end), a number of vectors at a time
// while that many fit. Answers where it stopped.
template <int vectors, class T>
inline Index filter_vectors(const T* from, const Index* offsets, const T* w, Index taps, T b, Index begin, Index end,
                            T* to) {
    using V = Vector<T>;
    for (; begin + vectors * vector_lanes<T> <= end; begin += vectors * vector_lanes<T>) {
        V sum[vectors];
        repeat<vectors>([&](auto v) { sum[v.value] = V{} + b; });
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

// Results of a depthwise convolution with the taps of each channel at w[channel * w_step + order[tap]].
template <class T, class Output>
void convolve_planes(const T* x, const T* w, Index w_step, const Index* order, const T* b, const Output& y,
                     const Geometry& g) {
    constexpr Index L = vector_lanes<T>;
    const Index C = g.input.c, OW = g.output.w;
    const Strips<T> strips(g.input.n, g.output, 1, true);
    // With stride 1 the rows of a strip are filtered as one, together with what lies between them.
    const bool as_one = g.window.h.stride == 1 && g.window.w.stride == 1;
    const Index units = strips.count * C, row_size = as_one ? g.pitch : rounded_up(OW, L);
    const int parts = threads_for(units, double(g.input.n * C) * double(g.output.h * OW * g.taps));
    const Index lines_size = g.most_lines(strips.rows) * g.pitch + 2 * L, rows_size = strips.rows * row_size + L;
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
            y.take_rows(g, strip, c, rows, row_size);
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
    const bool as_one = g.window.h.stride == 1 && g.window.w.stride == 1;
    const Index row_size = as_one ? g.pitch : rounded_up(OW, L), groups = divided_up(g.taps, together);
    const Strips<T> strips(1, g.output, 1, true);
    const int parts = threads_for(C, double(N * C) * double(OH * OW * g.taps));
    const Index lines_size = g.most_lines(strips.rows) * g.pitch + 2 * L, rows_size = strips.rows * row_size + L;
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
                    const Index runs = as_one ? 1 : strip.size(), run = as_one ? strip.size() * row_size : row_size;
                    for (Index row = 0; row < strip.size(); ++row)
                        copy(rows + row * row_size, dout + ((n * C + c) * OH + in_image.begin + row) * OW, OW);
                    fill(rows + strip.size() * row_size, smaller(L, rows_size - strip.size() * row_size), T(0));
                    for (Index v = 0; v < runs * run; v += L) sum_db += *reinterpret_cast<const V*>(rows + v);
                    for (Index t = 0; t < groups * together; t += together) {
                        V sum[together];
                        repeat<together>([&](auto i) { sum[i.value] = V{}; });
                        for (Index row = 0; row < runs; ++row)
                            for (Index v = 0; v < run; v += L) {
                                const V gradient = *reinterpret_cast<const V*>(rows + row * row_size + v);
                                const T* pixels = lines + row_start[row] + v;
                                repeat<together>([&](auto i) {
                                    sum[i.value] += gradient * load<int(L)>(pixels + offsets[t + i.value]);
                                });
                            }
                        repeat<together>([&](auto i) {
                            T* const to = sums + (t + i.value) * L;
                            store<int(L)>(to, load<int(L)>(to) + sum[i.value]);
                        });
                    }
                }
            for (Index t = 0; t < g.taps; ++t) dW[c * g.taps + t] = sum(sums + t * L, L);
            db[c] = sum(reinterpret_cast<const T*>(&sum_db), L);
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
