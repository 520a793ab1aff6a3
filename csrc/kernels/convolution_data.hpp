// Convolution backward with respect to data.
//
//   dx    (N, C, H, W)       C = groups * CG
//   W     (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   dout  (N, FN, OH, OW)    P = OH*OW
//
// For one image and one group: dcol^T (K, P) = W^T dout (FG, P), and dx = col2im(dcol). There are two ways to it:
// a pixel gathers what all windows over it send, which is a convolution of dout; or, where there are too few channels
// to fill a tile with, a window scatters what it sends over its pixels.
#pragma once

#include "convolution.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_scattered = 1 << 16;  // numbers of the lines that windows scatter to

// One axis of the gradient at every stride-th pixel, from `pixel` on, is itself a convolution: the taps that reach
// these pixels lie `step` apart, from `first` on, and meet dout back to front.
struct BackwardAxis {
    Index first, step, taps, pixels;
    Axis window;

    PYCONV_ONCE BackwardAxis(const Axis& axis, Index pixel, Index input, Index output) {
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

// The gradient of a depthwise convolution, every phase of the strides by itself, or of one without strides.
template <class T>
void gather_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                     Index groups) {
    const Sizes s(filter, output, groups);
    const bool depthwise = is_depthwise(s, groups);
    const Index plane = input.h * input.w, stride_h = window.h.stride, stride_w = window.w.stride;
    const T* const no_bias = nullptr;
    const Scratch<Index> taps(filter.h * filter.w);
    for (Index y = 0; y < smaller(stride_h, input.h); ++y) {
        const BackwardAxis h(window.h, y, input.h, output.h);
        for (Index x = 0; x < smaller(stride_w, input.w); ++x) {
            // the pixels (y, x), (y, x + stride), ... of every channel
            const BackwardAxis w(window.w, x, input.w, output.w);
            const Placed<T> pixels{dx + y * input.w + x, input.c * plane, plane, stride_h * input.w, stride_w};
            if (h.taps == 0 || w.taps == 0) {
                pixels.clear(input.n, input.c, {h.pixels, w.pixels});
                continue;
            }
            for (Index i = 0; i < h.taps; ++i)
                for (Index j = 0; j < w.taps; ++j)
                    taps.data()[i * w.taps + j] = (h.first + (h.taps - 1 - i) * h.step) * filter.w +
                                                  w.first + (w.taps - 1 - j) * w.step;
            const Geometry g({input.n, filter.n, output.h, output.w}, {h.pixels, w.pixels}, {h.window, w.window},
                             !depthwise);
            if (depthwise)
                convolve_planes(dout, W, s.K, taps.data(), no_bias, pixels, g);
            else
                convolve(dout, Weights<T>{W, filter.h * filter.w, s.K, taps.data(), s.FG * s.K}, no_bias, dx, g, s.CG,
                         s.FG, groups, false);
        }
    }
}

// Panels of A = W^T for `depth` filters, K numbers apart, and some channels, the taps of each in the given order.
template <class T>
void pack_taps(const T* W, Index K, Index channels, Index tap_count, const Index* order, Index depth, T* to) {
    for (Index f = 0; f < depth; ++f, W += K, to += tile_rows)
        for (Index c = 0, k = 0; c < channels; ++c)
            for (Index t = 0; t < tap_count; ++t, ++k)
                to[k / tile_rows * tile_rows * depth + k % tile_rows] = W[c * tap_count + order[t]];
}

// Where a tile's columns are added to a channel's lines, a vector at a time: lanes `inside` from `lane` on, to numbers
// from `to` on.
template <class T>
struct Landing {
    Index lane, to;
    WholeLanes<T, int(vector_lanes<T>)> inside;
};

template <class T>
PYCONV_ONCE Index find_landings(Range columns, Index width, const Index* row_start, Landing<T>* landings) {
    constexpr int L = int(vector_lanes<T>);
    Index count = 0;
    for_runs(columns, width, row_start, [&](Index at, Index from, Index run) {
        const Index begin = at - columns.begin, end = begin + run;
        for (Index lane = begin / L * L; lane < end; lane += L) {
            const auto lanes = lane_numbers<T, L>() + WholeLanes<T>(lane);
            landings[count++] = {lane, from + (lane - begin),
                                 (lanes >= WholeLanes<T>(begin)) & (lanes < WholeLanes<T>(end))};
        }
    });
    return count;
}

// Copies the pixels of lines back to dx. `all`: no pixel of dx is left out.
template <class T>
void crop_lines(const Geometry& g, const T* lines, Index channel_step, Range channels, Range strip, bool all, T* dx) {
    const Index stride = g.window.w.stride, H = g.input.h, W = g.input.w;
    const bool in_pairs = all && stride == 2;
    // of two phases, the one that the first column belongs to
    const Index even = in_pairs ? g.window.w.pad_before % 2 : 0;
    for (Index c = channels.begin; c < channels.end; ++c, lines += channel_step)
        for_images(g, strip, [&](Index n, Index y, Index line, Index count) {
            for (Index i = larger(-y, 0); i < smaller(H - y, count); ++i) {
                T* const to = dx + ((n * g.input.c + c) * H + y + i) * W;
                const auto from = [&](Index phase) {
                    return lines + (line + i) * g.pitch + phase * g.phase_width + phase_of(g, phase).at;
                };
                if (in_pairs) {
                    alternate(to, from(even), from(1 - even), W);
                    continue;
                }
                for (Index phase = 0; phase < g.phases; ++phase) {
                    const Phase p = phase_of(g, phase);
                    spread(to + p.x, stride, from(phase), p.count);
                }
            }
        });
}

// An item of work is some channels of an image, or of several where these are small: no other thread adds to its
// pixels. The sums are made in lines (geometry.hpp), of which crop_lines takes what is no padding.
template <class T>
void scatter_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                      Index groups) {
    constexpr Index TC = tile_columns<T>, TR = tile_rows, L = vector_lanes<T>;
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, false);
    const Index images = smaller(larger(input.n, 1), larger(fewest_positions / s.P, 1)), rows = images * output.h;
    const Index line_step = g.most_lines(rows) * g.pitch;
    const Index channels = smaller(s.CG, larger(most_scattered / line_step, divided_up(64, g.taps)));
    const Index blocks = divided_up(s.CG, channels), items = divided_up(input.n, images) * groups * blocks;
    const Index depth = divided_up(s.FG, divided_up(s.FG, most_depth)), width = rounded_up(rows * output.w, TC);
    const bool at_once = depth == s.FG && rows * output.w <= most_positions;
    const Index chunk = at_once ? width : smaller(width, rounded_up(fewest_positions, TC));
    const int parts = threads_for(items, double(input.n * groups) * double(s.FG * s.K) * double(s.P));

    const Index lines_size = channels * line_step + L, A_rows = rounded_up(channels * g.taps, TR);
    const bool pack_once = groups * blocks * A_rows * s.FG <= most_packed_weights;
    const Index a_size = pack_once ? 0 : A_rows * depth;
    const Index tile_size = TR * TC + L, panels_size = panel_rows(depth) * chunk;
    const Index part_size = rounded_up(panels_size + lines_size + a_size + tile_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size), packed_once(pack_once ? groups * blocks * A_rows * s.FG : 0);
    const Scratch<Index> order(g.taps), targets(channels * g.taps), row_starts(parts * 2 * rows);
    const Scratch<MovesMemory> moves_memory(parts);
    // Taps column by column: those that follow each other then add to different lines.
    for (Index t = 0; t < g.taps; ++t) order.data()[t] = t % filter.h * filter.w + t / filter.h;
    for (Index k = 0; k < channels * g.taps; ++k)
        targets.data()[k] = k / g.taps * line_step + g.tap_offset(order.data()[k % g.taps]);
    // dout is its own lines, of a filter that is one pixel
    const Index no_offset = 0;
    const Geometry pixelwise({input.n, filter.n, output.h, output.w}, output, {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}, true);
    // Does every pixel lie under some window, or between its taps?
    const auto spans = [](const Axis& axis, Index outputs, Index inputs) {
        return (outputs - 1) * axis.stride + reach(axis) - axis.pad_before >= inputs;
    };
    const bool all = spans(window.h, output.h, input.h) && spans(window.w, output.w, input.w) &&
                     g.phases == window.w.stride;

    const auto channels_of = [&](Index block) { return share(s.CG, int(blocks), int(block)); };
    const auto pack = [&](Index group, Index block, Index f, T* to) {
        const Range cs = channels_of(block);
        pack_taps(W + (group * s.FG + f) * s.K + cs.begin * g.taps, s.K, cs.size(), g.taps, order.data(),
                  smaller(depth, s.FG - f), to);
    };
    const auto packed = [&](Index item, Index f) {
        return packed_once.data() + (item % (groups * blocks) * s.FG + f) * A_rows;
    };
    if (pack_once)
        parallel_for(groups * blocks, double(A_rows * s.FG), [&](Index item) {
            for (Index f = 0; f < s.FG; f += depth) pack(item / blocks, item % blocks, f, packed(item, f));
        });

    run_each(parts, [&](int part) {
        T* const panels = scratch.data() + part * part_size;
        T* const lines = panels + panels_size;
        T* const packed_now = lines + lines_size;
        T* const tile = packed_now + a_size;
        Index* const line_start = row_starts.data() + part * 2 * rows;
        Index* const gradient_start = line_start + rows;
        Landing<T> landings[TC];
        const Range mine = share(items, parts, part);
        for (Index item = mine.begin; item < mine.end; ++item) {
            const Index first = item / blocks / groups * images, group = item / blocks % groups;
            const Range cs = channels_of(item % blocks);
            const Index rows_of_A = cs.size() * g.taps;
            const Range stack{first * output.h, smaller(input.n, first + images) * output.h};
            const Index positions = stack.size() * output.w;
            g.find_rows(stack, line_start);
            pixelwise.find_rows(stack, gradient_start);
            fill(lines, lines_size, T(0));
            for (Index f = 0; f < s.FG; f += depth) {
                const Index f_depth = smaller(depth, s.FG - f), line = 0;
                const T* const a_panels = pack_once ? packed(item, f) : packed_now;
                if (!pack_once) pack(group, item % blocks, f, packed_now);
                for (Index p = 0; p < positions; p += chunk) {
                    const Range ps{p, smaller(positions, p + chunk)};
                    // for the channels before, the same may be packed already
                    if (!at_once || item == mine.begin || item % blocks == 0)
                        pack_columns(pixelwise, &no_offset, gradient_start, dout + (group * s.FG + f) * s.P, s.P, 0,
                                     f_depth, ps, moves_memory.data()[part], panels);
                    for (Index q = p; q < ps.end; q += TC) {
                        const Index columns = smaller(TC, ps.end - q);
                        const Index landed = find_landings({q, q + columns}, output.w, line_start, landings);
                        for (Index k = 0; k < rows_of_A; k += TR) {
                            const Index count = smaller(TR, rows_of_A - k);
                            const T* a[TR];
                            for (Index i = 0; i < count; ++i) a[i] = a_panels + k * f_depth + i;
                            tile_of<T>(count, divided_up(columns, L))(a, Depth<T>{1, f_depth, &line, TR},
                                                                      panels + (q - p) * panel_rows(f_depth), tile, TC,
                                                                      Ends<T>{});
                            for (Index j = 0; j < landed; ++j) {
                                const auto inside = landings[j].inside;
                                const T* from = tile + landings[j].lane;
                                T* const to = lines + landings[j].to;
                                for (Index i = 0; i < count; ++i, from += TC) {
                                    T* const there = to + targets.data()[k + i];
                                    store<L>(there, load<L>(there) + (inside ? load<L>(from) : Vector<T>{}));
                                }
                            }
                        }
                    }
                }
            }
            const Range mine_of_all{group * s.CG + cs.begin, group * s.CG + cs.end};
            const Index plane = input.h * input.w;
            for (Index n = first; !all && n < smaller(input.n, first + images); ++n)  // what no window reaches stays 0
                fill(dx + (n * input.c + mine_of_all.begin) * plane, cs.size() * plane, T(0));
            crop_lines(g, lines, line_step, mine_of_all, stack, all, dx);
        }
    });
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const bool strided = window.h.stride > 1 || window.w.stride > 1;
    const bool depthwise = is_depthwise(Sizes(filter, output, groups), groups);
    if ((filter.c < tile_rows || strided) && !depthwise)
        scatter_gradient(dout, W, dx, input, filter, output, window, groups);
    else
        gather_gradient(dout, W, dx, input, filter, output, window, groups);
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
