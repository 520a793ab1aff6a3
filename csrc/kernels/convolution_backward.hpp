#pragma once
#include "convolution.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_gradient_rows = 144;

// to[0..count) += from[0..count), reading and writing whole vectors: what lies behind `to` has zeros added to it.
template <class T>
inline void add_run(T* to, const T* from, Index count) {
    constexpr int L = int(vector_lanes<T>);
    Index i = 0;
    for (; i + L <= count; i += L) store<L>(to + i, load<L>(to + i) + load<L>(from + i));
    if (i == count) return;
    const auto inside = lane_numbers<T, L>() < WholeLanes<T>(count - i);
    store<L>(to + i, load<L>(to + i) + (inside ? load<L>(from + i) : Lanes<T, L>{}));
}

// One axis of the gradient at every stride-th pixel, from `pixel` on, is itself a convolution: the taps that reach these
// pixels lie `step` apart, from `first` on, and meet dout back to front.
struct BackwardAxis {
    Index first, step, taps, pixels;
    Axis window;

    BackwardAxis(const Axis& axis, Index pixel, Index input, Index output) {
        Index a = axis.stride, divisor = axis.dilation;  // greatest common divisor of the two
        while (a) {
            const Index rest = divisor % a;
            divisor = a, a = rest;
        }
        step = axis.stride / divisor;
        first = 0;
        while (first < step && (pixel + axis.pad_before - first * axis.dilation) % axis.stride) ++first;
        taps = first < step && first < axis.filter ? (axis.filter - first + step - 1) / step : 0;
        pixels = divided_up(input - pixel, axis.stride);
        const Index dilation = axis.dilation / divisor;
        const Index start = (pixel + axis.pad_before - first * axis.dilation) / axis.stride;  // divides without rest
        window = {taps, 1, dilation, (taps - 1) * dilation - start, 0};
        // padding behind: what the last window reaches beyond dout
        window.pad_after = larger(pixels - 1 + reach(window) - window.pad_before - output, 0);
    }
};

template <class T>
void gather_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window, Index groups) {
    const Sizes s(filter, output, groups);
    const Scratch<Index> taps(filter.h * filter.w);
    for (Index y = 0; y < smaller(window.h.stride, input.h); ++y)
        for (Index x = 0; x < smaller(window.w.stride, input.w); ++x) {
            const BackwardAxis h(window.h, y, input.h, output.h), w(window.w, x, input.w, output.w);
            if (h.taps == 0 || w.taps == 0) {
                for (Index row = 0; row < input.n * input.c * input.h; ++row)
                    if (row % input.h % window.h.stride == y)
                        for (Index at = x; at < input.w; at += window.w.stride) dx[row * input.w + at] = 0;
                continue;
            }
            for (Index i = 0; i < h.taps; ++i)
                for (Index j = 0; j < w.taps; ++j)
                    taps.data()[i * w.taps + j] =
                        (h.first + (h.taps - 1 - i) * h.step) * filter.w + w.first + (w.taps - 1 - j) * w.step;
            const Geometry g({input.n, filter.n, output.h, output.w}, {h.pixels, w.pixels}, {h.window, w.window},
                             !is_depthwise(s, groups));
            const Index plane = input.h * input.w;
            const Placed<T> to{dx + y * input.w + x, input.c * plane, plane, window.h.stride * input.w, window.w.stride};
            if (is_depthwise(s, groups)) {
                convolve_planes(dout, W, s.K, taps.data(), static_cast<const T*>(nullptr), to, g);
                continue;
            }
            convolve(dout, Weights<T>{W, filter.h * filter.w, s.K, taps.data()}, s.FG * s.K, static_cast<const T*>(nullptr),
                     to, g,
                     s.CG, s.FG, groups, false);
        }
}

template <class T>
void scatter_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, false);
    const Index images = smaller(input.n, larger(256 / s.P, 1)), image_groups = input.n ? divided_up(input.n, images) : 0;
    const Index channels = smaller(s.CG, divided_up(most_gradient_rows, g.taps)), blocks = divided_up(s.CG, channels);
    const Index rows = images * output.h, positions = rows * output.w;
    const Index chunk = smaller(rounded_up(positions, tile_columns<T>), rounded_up(fewest_positions, tile_columns<T>));
    const Index depth_blocks = divided_up(s.FG, most_depth), depth = divided_up(s.FG, depth_blocks);
    const Index items = image_groups * groups * blocks;
    const int parts = threads_for(items, double(input.n * groups) * double(s.FG * s.K) * double(s.P));
    const Index line_step = g.most_lines(rows) * g.pitch, line_size = channels * line_step + 2 * vector_lanes<T>;
    const Index a_size = rounded_up(channels * g.taps, tile_rows) * depth;
    const Index tile_size = tile_rows * tile_columns<T> + 2 * vector_lanes<T>;
    const Index per_part = rounded_up(depth * chunk + line_size + a_size + tile_size, 16);
    const Scratch<T> scratch(parts * per_part);
    const Scratch<Index> tables(g.taps + parts * 2 * rows);
    Index* const offsets = tables.data();
    // Taps column by column: those that follow each other then add to different lines.
    const Scratch<Index> tap_order(g.taps);
    for (Index t = 0; t < g.taps; ++t) {
        tap_order.data()[t] = t % filter.h * filter.w + t / filter.h;
        offsets[t] = g.tap_offset(tap_order.data()[t]);
    }
    const Scratch<MovesMemory> moves_memory(parts);

    run_each(parts, [&](int part) {
        T* const panels = scratch.data() + part * per_part;
        T* const lines = panels + depth * chunk;
        T* const a_panels = lines + line_size;
        T* const tile = a_panels + a_size;
        Index* const line_start = offsets + g.taps + part * 2 * rows;
        Index* const gradient_start = line_start + rows;
        const Range mine = share(items, parts, part);
        for (Index item = mine.begin; item < mine.end; ++item) {
            const Index first = item / blocks / groups * images, group = item / blocks % groups;
            const Range mine_channels{item % blocks * channels, smaller(s.CG, (item % blocks + 1) * channels)};
            const Range stack{first * output.h, smaller(input.n, first + images) * output.h};
            const Index k_rows = mine_channels.size() * g.taps;
            g.find_rows(stack, line_start);
            for (Index row = stack.begin; row < stack.end; ++row)
                gradient_start[row - stack.begin] = row / output.h * filter.n * s.P + row % output.h * output.w;
            fill(lines, mine_channels.size() * line_step, T(0));
            const Index here = stack.size() * output.w;
            for (Index f = 0; f < s.FG; f += depth) {
                const Index f_end = smaller(s.FG, f + depth);
                for (Index k = 0; k < k_rows; k += tile_rows)
                    for (Index i = 0; i < f_end - f; ++i)
                        for (Index r = 0; r < smaller(tile_rows, k_rows - k); ++r)
                            a_panels[k * (f_end - f) + i * tile_rows + r] =
                                W[(group * s.FG + f + i) * s.K + (mine_channels.begin + (k + r) / g.taps) * g.taps + tap_order.data()[(k + r) % g.taps]];
                for (Index p = 0; p < here; p += chunk) {
                    const Index p_end = smaller(here, p + chunk);
                    Moves<T> moves(moves_memory.data()[part], (f_end - f) * tile_columns<T>);
                    for_runs({p, p_end}, output.w, gradient_start,
                             [&](Index at, Index from, Index count) { moves.add_run(at - p, from, count); });
                    moves.clear(p_end - p, rounded_up(p_end - p, vector_lanes<T>));
                    for (Index i = f; i < f_end; ++i)
                        moves.copy(dout + (group * s.FG + i) * s.P, panels + (i - f) * tile_columns<T>);
                    for (Index q = p; q < p_end; q += tile_columns<T>) {
                        const Range lanes{q, smaller(p_end, q + tile_columns<T>)};
                        struct Run { Index begin, from, count; } runs[tile_columns<T>];
                        Index run_count = 0;
                        for_runs(lanes, output.w, line_start, [&](Index at, Index from, Index count) { runs[run_count++] = {at - q, from, count}; });
                        const Index line = 0;
                        for (Index k = 0; k < k_rows; k += tile_rows) {
                            const Index tile_height = smaller(tile_rows, k_rows - k);
                            const T* a[tile_rows];
                            for (Index i = 0; i < tile_height; ++i) a[i] = a_panels + k * (f_end - f) + i;
                            tile_of<T>(tile_height, divided_up(lanes.size(), vector_lanes<T>))(
                                a, Depth<T>{1, f_end - f, &line, tile_rows}, panels + (q - p) * (f_end - f), tile,
                                tile_columns<T>, Ends<T>{false, nullptr, false});
                            for (Index i = 0; i < tile_height; ++i) {
                                T* to = lines + (k + i) / g.taps * line_step + offsets[(k + i) % g.taps];
                                for (Index r = 0; r < run_count; ++r)
                                    add_run(to + runs[r].from, tile + i * tile_columns<T> + runs[r].begin, runs[r].count);
                            }
                        }
                    }
                }
            }
            for (Index n = first; n < smaller(input.n, first + images); ++n)
                fill(dx + (n * input.c + group * s.CG + mine_channels.begin) * input.h * input.w,
                     mine_channels.size() * input.h * input.w, T(0));
            crop_lines(g, lines, line_step, {group * s.CG + mine_channels.begin, group * s.CG + mine_channels.end}, stack, dx);
        }
    });
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window, Index groups) {
    if (filter.c >= 6 || is_depthwise(Sizes(filter, output, groups), groups)) gather_gradient(dout, W, dx, input, filter, output, window, groups);
    else scatter_gradient(dout, W, dx, input, filter, output, window, groups);
}

template <class T>
void conv2d_backward_weight(const T* x, const T* dout, T* dW, T* db, Shape input, Shape filter, Extent output,
                            Window window, Index groups) {
    const Sizes s(filter, output, groups);
    if (is_depthwise(s, groups)) return plane_weight_gradient(x, dout, dW, db, Geometry(input, output, window, false));
    const Geometry g(input, output, window, true);
    const Strips<T> strips(input.n, output, 1, false);
    constexpr Index TC = tile_columns<T>;
    const Index f_blocks = divided_up(s.FG, TC), k_tiles = divided_up(s.K, tile_rows);
    const Index units = groups * f_blocks * k_tiles;
    const double work = double(input.n * groups) * double(s.FG * s.K) * double(s.P);
    // Shares of the weights where there are many, else shares of the batch, each with sums of its own.
    int parts = threads_for(units, work);
    const bool by_strip = units < 16 * parts || (strips.count >= 4 * parts && parts * filter.n * s.K <= 1 << 18);
    const Index weights = groups * f_blocks * TC * s.K;
    if (by_strip) parts = threads_for(strips.count, work);
    const Index positions = strips.rows * output.w;
    const Index block_channels = smaller(s.CG, larger(divided_up(most_depth, g.taps), 1) + 1);
    const Index line_step = g.most_lines(strips.rows) * g.pitch, line_size = block_channels * line_step;
    const Index sum_size = by_strip ? weights : TC * s.K;
    const Index per_part = rounded_up(positions * TC + line_size + sum_size + TC * f_blocks * groups, 16);
    const Scratch<T> scratch(parts * per_part);
    const Scratch<Index> tables(g.taps + parts * 2 * strips.rows);
    Index* const offsets = tables.data();
    for (Index t = 0; t < g.taps; ++t) offsets[t] = g.tap_offset(t);
    // rows of k whose channels are copied at a time
    const Index k_block = block_channels < s.CG ? rounded_up((block_channels - 1) * g.taps - tile_rows + 1, tile_rows) : rounded_up(s.K, tile_rows);

    run_each(parts, [&](int part) {
        T* const panel = scratch.data() + part * per_part;
        T* const lines = panel + positions * TC;
        T* const part_sums = lines + line_size;
        T* const part_db = part_sums + sum_size;
        Index* const row_start = offsets + g.taps + part * 2 * strips.rows;
        const Range mine_units = by_strip ? Range{0, units} : share(units, parts, part);
        const Range mine_strips = by_strip ? share(strips.count, parts, part) : Range{0, strips.count};
        for (Index unit = mine_units.begin; unit < mine_units.end;) {
            const Index block = unit / k_tiles, group = block / f_blocks;
            const Index f0 = block % f_blocks * TC, columns = smaller(TC, s.FG - f0);
            const Range tiles{unit % k_tiles, smaller(k_tiles, unit % k_tiles + mine_units.end - unit)};
            const Range ks{tiles.begin * tile_rows, smaller(s.K, tiles.end * tile_rows)};
            unit += tiles.size();
            T* const sums = part_sums + (by_strip ? block * TC * s.K : 0);
            T* const sum_db = part_db + block * TC;
            fill(sums + ks.begin * TC, ks.size() * TC, T(0));
            fill(sum_db, TC, T(0));
            for (Index at = mine_strips.begin; at < mine_strips.end; ++at) {
                const Range strip = strips.at(at);
                g.find_rows(strip, row_start);
                // the gradient of these positions, filters side by side
                for (Index row = strip.begin; row < strip.end;) {
                    const Index n = row / output.h, oy = row % output.h;
                    const Index rows = smaller(output.h - oy, strip.end - row);
                    const T* from = dout + (n * filter.n + group * s.FG + f0) * s.P + oy * output.w;
                    transpose(from, s.P, columns, rows * output.w, panel + (row - strip.begin) * output.w * TC, TC);
                    row += rows;
                }
                if (ks.begin == 0)
                    for (Index p = 0; p < strip.size() * output.w; ++p)
                        for (Index j = 0; j < rounded_up(columns, vector_lanes<T>); ++j) sum_db[j] += panel[p * TC + j];
                for (Index k0 = ks.begin; k0 < ks.end; k0 += k_block) {
                    const Index k1 = smaller(ks.end, k0 + k_block);
                    const Range channels{k0 / g.taps, divided_up(k1, g.taps)};
                    const T* base = x + (group * s.CG + channels.begin) * input.h * input.w;
                    if (!g.in_place) copy_lines(g, x + group * s.CG * input.h * input.w, channels, strip, lines, line_step, true), base = lines;
                    const Index channel_step = g.in_place ? input.h * input.w : line_step;
                    for (Index k = k0; k < k1; k += tile_rows) {
                        const Index rows = smaller(tile_rows, k1 - k);
                        const T* a[tile_rows];
                        for (Index i = 0; i < rows; ++i)
                            a[i] = base + ((k + i) / g.taps - channels.begin) * channel_step + offsets[(k + i) % g.taps];
                        tile_of<T>(rows, divided_up(columns, vector_lanes<T>))(
                            a, Depth<T>{strip.size(), output.w, row_start, 1}, panel, sums + k * TC, TC, Ends<T>{true, nullptr, false});
                    }
                }
            }
            if (by_strip) continue;
            for (Index j = 0; j < columns; ++j)
                for (Index k = ks.begin; k < ks.end; ++k) dW[(group * s.FG + f0 + j) * s.K + k] = sums[k * TC + j];
            if (ks.begin == 0) for (Index j = 0; j < columns; ++j) db[group * s.FG + f0 + j] = sum_db[j];
        }
    });
    if (!by_strip) return;
    const T* const first = scratch.data() + positions * TC + line_size;
    for (Index block = 0; block < groups * f_blocks; ++block) {
        const Index group = block / f_blocks, f0 = block % f_blocks * TC;
        for (Index j = 0; j < smaller(TC, s.FG - f0); ++j) {
            const Index f = group * s.FG + f0 + j;
            for (Index k = 0; k < s.K; ++k) {
                T total = first[(block * s.K + k) * TC + j];
                for (int part = 1; part < parts; ++part) total += first[part * per_part + (block * s.K + k) * TC + j];
                dW[f * s.K + k] = total;
            }
            T total = first[sum_size + block * TC + j];
            for (int part = 1; part < parts; ++part) total += first[part * per_part + sum_size + block * TC + j];
            db[f] = total;
        }
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
