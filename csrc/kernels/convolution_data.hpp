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

constexpr Index most_strided = 1 << 22;  // numbers of a gradient with phases that are computed at a time

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

// to[0], to[1], to[2], ... = even[0], odd[0], even[1], ..., `count` numbers in all
template <class T, int N = int(vector_lanes<T>)>
inline void alternate(T* to, const T* even, const T* odd, Index count) {
    Index i = 0;
    for (; 2 * (i + N) <= count; i += N)
        store_alternately(to + 2 * i, load<N>(even + i), load<N>(odd + i), typename Counting<N>::Type());
    if constexpr (N > 1)
        alternate<T, N / 2>(to + 2 * i, even + i, odd + i, count - 2 * i);
    else if (2 * i < count)
        to[2 * i] = even[i];
}

template <class T>
void gather_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                     Index groups) {
    const Sizes s(filter, output, groups);
    const bool depthwise = is_depthwise(s, groups);
    const Index plane = input.h * input.w, planes = input.n * input.c, stride = window.w.stride;
    const Index phases = smaller(stride, input.w);
    // A horizontal stride's phases are computed apart, and put into the rows of dx from front to back.
    const bool apart = phases > 1 && !depthwise;
    const Index phase_size = planes * divided_up(input.h, window.h.stride) * divided_up(input.w, stride);
    const Scratch<T> phase_pixels(apart ? phases * phase_size : 0);
    const Scratch<Index> taps(filter.h * filter.w);
    for (Index y = 0; y < smaller(window.h.stride, input.h); ++y) {
        const BackwardAxis h(window.h, y, input.h, output.h);
        for (Index x = 0; x < phases; ++x) {
            // the pixels (y, x), (y, x + stride), ... of every channel
            const BackwardAxis w(window.w, x, input.w, output.w);
            const Index count = h.pixels * w.pixels;
            const Placed<T> pixels =
                apart ? Placed<T>{phase_pixels.data() + x * phase_size, input.c * count, count, w.pixels, 1}
                      : Placed<T>{dx + y * input.w + x, input.c * plane, plane, window.h.stride * input.w, stride};
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
            const T* const no_bias = nullptr;
            if (depthwise)
                convolve_planes(dout, W, s.K, taps.data(), no_bias, pixels, g);
            else
                convolve(dout, Weights<T>{W, filter.h * filter.w, s.K, taps.data(), s.FG * s.K}, no_bias, pixels, g,
                         s.CG, s.FG, groups, false);
        }
        if (apart)
            parallel_for(planes, double(h.pixels * input.w), [&](Index at) {
                for (Index row = at * h.pixels; row < (at + 1) * h.pixels; ++row) {
                    T* const to = dx + at * plane + (y + row % h.pixels * window.h.stride) * input.w;
                    const auto from = [&](Index x) {
                        return phase_pixels.data() + x * phase_size + row * divided_up(input.w - x, stride);
                    };
                    if (stride == 2)
                        alternate(to, from(0), from(1), input.w);
                    else
                        for (Index x = 0; x < phases; ++x)
                            spread(to + x, stride, from(x), divided_up(input.w - x, stride));
                }
            });
    }
}

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

// Panels of A = W^T for `depth` filters: their numbers k, K of them, the taps of each channel in the given order.
template <class T>
void pack_taps(const T* W, Index K, Index tap_count, const Index* order, Index depth, T* to) {
    for (Index begin = 0; begin < K; begin += tile_rows)
        for (Index f = 0; f < depth; ++f, to += tile_rows)
            for (Index k = begin; k < smaller(K, begin + tile_rows); ++k)
                to[k - begin] = W[f * K + k / tap_count * tap_count + order[k % tap_count]];
}

// An item of work is one group of an image, or of several where these are small: no other thread adds to its pixels.
// The sums are made in lines (geometry.hpp), of which crop_lines takes what is no padding.
template <class T>
void scatter_gradient(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                      Index groups) {
    constexpr Index TC = tile_columns<T>, TR = tile_rows, L = vector_lanes<T>;
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, false);
    const Index images = smaller(larger(input.n, 1), larger(fewest_positions / s.P, 1));
    const Index rows = images * output.h, items = divided_up(input.n, images) * groups;
    const Index chunk = smaller(rounded_up(rows * output.w, TC), rounded_up(fewest_positions, TC));
    const Index depth = divided_up(s.FG, divided_up(s.FG, most_depth));
    const int parts = threads_for(items, double(input.n * groups) * double(s.FG * s.K) * double(s.P));

    const Index line_step = g.most_lines(rows) * g.pitch, lines_size = s.CG * line_step + L;
    const Index a_size = rounded_up(s.K, TR) * depth, tile_size = TR * TC + L, panels_size = panel_rows(depth) * chunk;
    const Index part_size = rounded_up(panels_size + lines_size + a_size + tile_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> order(g.taps), offsets(g.taps), row_starts(parts * 2 * rows);
    const Scratch<MovesMemory> moves_memory(parts);
    // Taps column by column: those that follow each other then add to different lines.
    for (Index t = 0; t < g.taps; ++t) order.data()[t] = t % filter.h * filter.w + t / filter.h;
    for (Index t = 0; t < g.taps; ++t) offsets.data()[t] = g.tap_offset(order.data()[t]);
    // dout is its own lines, of a filter that is one pixel
    const Index no_offset = 0;
    const Geometry pixelwise({input.n, filter.n, output.h, output.w}, output, {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}, true);

    run_each(parts, [&](int part) {
        T* const panels = scratch.data() + part * part_size;
        T* const lines = panels + panels_size;
        T* const a_panels = lines + lines_size;
        T* const tile = a_panels + a_size;
        Index* const line_start = row_starts.data() + part * 2 * rows;
        Index* const gradient_start = line_start + rows;
        const Range mine = share(items, parts, part);
        for (Index item = mine.begin; item < mine.end; ++item) {
            const Index first = item / groups * images, group = item % groups;
            const Range stack{first * output.h, smaller(input.n, first + images) * output.h};
            const Index positions = stack.size() * output.w;
            g.find_rows(stack, line_start);
            pixelwise.find_rows(stack, gradient_start);
            fill(lines, lines_size, T(0));
            for (Index f = 0; f < s.FG; f += depth) {
                const Index f_depth = smaller(depth, s.FG - f), line = 0;
                pack_taps(W + (group * s.FG + f) * s.K, s.K, g.taps, order.data(), f_depth, a_panels);
                for (Index p = 0; p < positions; p += chunk) {
                    const Range ps{p, smaller(positions, p + chunk)};
                    pack_columns(pixelwise, &no_offset, gradient_start, dout + (group * s.FG + f) * s.P, s.P, 0,
                                 f_depth, ps, moves_memory.data()[part], panels);
                    for (Index q = p; q < ps.end; q += TC) {
                        const Index columns = smaller(TC, ps.end - q);
                        for (Index k = 0; k < s.K; k += TR) {
                            const Index count = smaller(TR, s.K - k);
                            const T* a[TR];
                            for (Index i = 0; i < count; ++i) a[i] = a_panels + k * f_depth + i;
                            tile_of<T>(count, divided_up(columns, L))(a, Depth<T>{1, f_depth, &line, TR},
                                                                      panels + (q - p) * panel_rows(f_depth), tile, TC,
                                                                      Ends<T>{});
                            for (Index i = 0; i < count; ++i) {
                                T* const to = lines + (k + i) / g.taps * line_step + offsets.data()[(k + i) % g.taps];
                                for_runs({q, q + columns}, output.w, line_start, [&](Index at, Index from, Index run) {
                                    add_run(to + from, tile + i * TC + (at - q), run);
                                });
                            }
                        }
                    }
                }
            }
            const Index group_size = s.CG * input.h * input.w;
            for (Index n = first; n < smaller(input.n, first + images); ++n)  // pixels behind the last window stay 0
                fill(dx + (n * groups + group) * group_size, group_size, T(0));
            crop_lines(g, lines, line_step, {group * s.CG, (group + 1) * s.CG}, stack, dx);
        }
    });
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const bool depthwise = is_depthwise(Sizes(filter, output, groups), groups);
    if (filter.c < tile_rows && !depthwise) {
        scatter_gradient(dout, W, dx, input, filter, output, window, groups);
    } else {
        // Of a gradient whose phases are put together as many images as stay in the last-level cache.
        const Index image = input.c * input.h * input.w, dout_image = filter.n * output.h * output.w;
        const bool apart = window.w.stride > 1 && !depthwise;
        const Index images = apart ? larger(most_strided / image, 1) : larger(input.n, 1);
        for (Index n = 0; n < input.n; n += images) {
            const Shape some{smaller(images, input.n - n), input.c, input.h, input.w};
            gather_gradient(dout + n * dout_image, W, dx + n * image, some, filter, output, window, groups);
        }
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
