// Convolution backward with respect to data.
//
//   dx    (N, C, H, W)       C = groups * CG
//   W     (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   dout  (N, FN, OH, OW)    P = OH*OW
//
// For one image and one group: dcol^T (K, P) = W^T dout (FG, P), and dx = col2im(dcol). There are two ways to it. A
// pixel gathers what the windows over it send, which is a convolution of dout: depthwise, without strides, or by their
// phases. Or a window scatters what it sends over its pixels: with other strides, where neighbouring pixels meet
// different taps, and with fewer channels than a tile has rows.
#pragma once

#include "convolution_phases.hpp"
#include "convolution_scatter.hpp"
#include "depthwise_data.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// One axis of the gradient at every stride-th pixel, from `pixel` on, is itself a convolution: the taps that reach
// these pixels lie `step` apart, from `first` on, and meet dout back to front.
struct BackwardAxis {
    Index first, step, taps, pixels;
    Axis window;

    PYCONV_SETUP BackwardAxis(const Axis& axis, Index pixel, Index input, Index output) {
        Index a = axis.stride, divisor = axis.dilation;  // greatest common divisor of the two
        while (a) {
            const Index rest = divisor % a;
            divisor = a, a = rest;
        }
        step = axis.stride / divisor;
        const Index candidates = smaller(step, axis.filter);
        first = 0;
        while (first < candidates && (pixel + axis.pad_before - first * axis.dilation) % axis.stride) ++first;
        taps = first < candidates ? divided_up(axis.filter - first, step) : 0;
        pixels = divided_up(input - pixel, axis.stride);
        const Index dilation = axis.dilation / divisor;
        const Index start = (pixel + axis.pad_before - first * axis.dilation) / axis.stride;  // divides without rest
        window = {taps, 1, dilation, (taps - 1) * dilation - start, 0};
        // padding behind: what the last window reaches beyond dout
        window.pad_after = larger(pixels - 1 + reach(window) - window.pad_before - output, 0);
    }
};

// W back to front: the filters (C, FG, FH, FW) that make dx of dout, with taps in the given order.
template <class T>
void flip(const T* W, const Sizes& s, Index groups, Index tap_count, const Index* taps, T* to) {
    for (Index c = 0; c < groups * s.CG; ++c)
        for (Index f = 0; f < s.FG; ++f, to += tap_count) {
            const T* const from = W + (c / s.CG * s.FG + f) * s.K + c % s.CG * tap_count;
            for (Index t = 0; t < tap_count; ++t) to[t] = from[taps[t]];
        }
}

// The gradient as convolutions of dout: a depthwise one for every phase of the strides, or the only one that there is
// without strides.
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
            const Sizes back({input.c, s.FG, h.taps, w.taps}, g.output, groups);
            if (depthwise) {
                convolve_planes(dout, W, s.K, taps.data(), no_bias, pixels, g, false);
            } else if (!small_rather_than_fast && packing_shows(back, g.taps)) {
                const Scratch<T> flipped(filter.n * s.K);
                flip(W, s, groups, g.taps, taps.data(), flipped.data());
                convolve_forward(dout, flipped.data(), no_bias, dx, g, back, groups, false);
            } else {
                convolve(dout, Weights<T>{W, filter.h * filter.w, s.K, taps.data(), s.FG * s.K}, no_bias, dx, g, s.CG,
                         s.FG, groups, false);
            }
        }
    }
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const Sizes s(filter, output, groups);
    const bool strided = window.h.stride > 1 || window.w.stride > 1;
    const Geometry g(input, output, window, false);
    if (is_depthwise(s, groups) && gather_planes_of_pairs(dout, W, dx, g)) return;
    if (is_depthwise(s, groups) || (filter.c >= tile_rows && !strided))
        return gather_gradient(dout, W, dx, input, filter, output, window, groups);
    if constexpr (is_avx512_float<T>)
        if (PhasedGradient<T>::pays(g, s, groups)) return PhasedGradient<T>(dout, W, dx, g, s, groups).run();
    ScatteredGradient<T>(dout, W, dx, g, s, groups).run();
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
