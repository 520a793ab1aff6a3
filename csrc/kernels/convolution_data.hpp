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

// Without strides: a convolution of dout. Where scattering is faster, does nothing; answers whether it did it.
template <class T>
bool gather_gradient(const T* dout, const T* W, T* dx, const Geometry& g, const Sizes& s, Index groups) {
    const BackwardAxis h(g.window.h, 0, g.input.h, g.output.h), w(g.window.w, 0, g.input.w, g.output.w);
    const Geometry back({g.input.n, groups * s.FG, g.output.h, g.output.w}, {g.input.h, g.input.w},
                        {h.window, w.window}, true);
    const Sizes sizes({g.input.c, s.FG, h.taps, w.taps}, back.output, groups);
    const T* const no_bias = nullptr;
    const Scratch<Index> taps(g.taps);
    for (Index t = 0; t < g.taps; ++t) taps.data()[t] = g.taps - 1 - t;
    const bool tile_is_full = s.CG >= tile_rows;
    if (!small_rather_than_fast && packing_shows(sizes, g.taps) && (tile_is_full || (s.CG > 1 && s.FG <= 16))) {
        const DirectGeometry<T> direct(back.input, back.output, back.window, s.FG, 1);
        if (direct.fits(s.CG)) {
            const Scratch<T> flipped(groups * s.FG * s.K);
            flip(W, s, groups, g.taps, taps.data(), flipped.data());
            return convolve_direct(dout, flipped.data(), no_bias, dx, nullptr, direct, sizes, groups, false), true;
        }
    }
    if (!tile_is_full) return false;
    convolve(dout, Weights<T>{W, g.taps, s.K, taps.data(), s.FG * s.K}, no_bias, dx, back, s.CG, s.FG, groups, false);
    return true;
}

// Depthwise: a convolution of dout for every phase of the strides.
template <class T>
void gather_planes(const T* dout, const T* W, T* dx, const Geometry& g) {
    const Shape& input = g.input;
    const Index plane = input.h * input.w, stride_h = g.window.h.stride, stride_w = g.window.w.stride;
    const T* const no_bias = nullptr;
    const Scratch<Index> taps(g.taps);
    for (Index y = 0; y < smaller(stride_h, input.h); ++y) {
        const BackwardAxis h(g.window.h, y, input.h, g.output.h);
        for (Index x = 0; x < smaller(stride_w, input.w); ++x) {
            // the pixels (y, x), (y, x + stride), ... of every channel
            const BackwardAxis w(g.window.w, x, input.w, g.output.w);
            const Placed<T> pixels{dx + y * input.w + x, input.c * plane, plane, stride_h * input.w, stride_w};
            if (h.taps == 0 || w.taps == 0) {
                pixels.clear(input.n, input.c, {h.pixels, w.pixels});
                continue;
            }
            for (Index i = 0; i < h.taps; ++i)
                for (Index j = 0; j < w.taps; ++j)
                    taps.data()[i * w.taps + j] = (h.first + (h.taps - 1 - i) * h.step) * g.window.w.filter +
                                                  w.first + (w.taps - 1 - j) * w.step;
            const Geometry back({input.n, input.c, g.output.h, g.output.w}, {h.pixels, w.pixels},
                                {h.window, w.window}, false);
            convolve_planes(dout, W, g.taps, taps.data(), no_bias, pixels, back, false);
        }
    }
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, false);
    if (is_depthwise(s, groups)) {
        if (!gather_planes_of_pairs(dout, W, dx, g)) gather_planes(dout, W, dx, g);
        return;
    }
    const bool strided = window.h.stride > 1 || window.w.stride > 1;
    if (!strided && gather_gradient(dout, W, dx, g, s, groups)) return;
    if constexpr (is_avx512_float<T>)
        if (PhasedGradient<T>::pays(g, s, groups)) return PhasedGradient<T>(dout, W, dx, g, s, groups).run();
    ScatteredGradient<T>(dout, W, dx, g, s, groups).run();
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
