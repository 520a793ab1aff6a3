// im2col and col2im.
//
//   x, dx  (N, C, H, W)
//   col    (N*OH*OW, C*FH*FW)   a row per window (n, oy, ox), a column per tap (c, fy, fx)
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

template <class T>
void im2col(const T* x, T* col, Shape input, Extent output, Window window) {
    const Index FH = window.h.filter, FW = window.w.filter;
    const Index row_size = input.c * FH * FW;
    parallel_for(input.n * output.h, double(output.w * row_size), [&](Index item) {
        const Index n = item / output.h, oy = item % output.h;
        T* to = col + item * output.w * row_size;
        for (Index ox = 0; ox < output.w; ++ox) {
            const Taps inside = taps_inside(window.w, ox, input.w);
            for (Index c = 0; c < input.c; ++c) {
                for (Index fy = 0; fy < FH; ++fy, to += FW) {
                    const Index y = source(window.h, oy, fy);
                    if (y < 0 || y >= input.h) {
                        fill(to, FW, T(0));
                        continue;
                    }
                    const T* row = x + ((n * input.c + c) * input.h + y) * input.w;
                    for (Index fx = 0; fx < inside.begin; ++fx) to[fx] = 0;
                    for (Index fx = inside.begin; fx < inside.end; ++fx) to[fx] = row[source(window.w, ox, fx)];
                    for (Index fx = inside.end; fx < FW; ++fx) to[fx] = 0;
                }
            }
        }
    });
}

// The adjoint of im2col: every entry of col is added to the pixel it was copied from. One thread owns a whole
// channel, so overlapping windows never race.
template <class T>
void col2im(const T* col, T* dx, Shape input, Extent output, Window window) {
    const Index FH = window.h.filter, FW = window.w.filter;
    const Index row_size = input.c * FH * FW;
    parallel_for(input.n * input.c, double(output.h * output.w * FH * FW), [&](Index item) {
        const Index n = item / input.c, c = item % input.c;
        T* plane = dx + item * input.h * input.w;
        fill(plane, input.h * input.w, T(0));
        const T* from = col + n * output.h * output.w * row_size + c * FH * FW;
        for (Index oy = 0; oy < output.h; ++oy) {
            const Taps inside_h = taps_inside(window.h, oy, input.h);
            for (Index ox = 0; ox < output.w; ++ox, from += row_size) {
                const Taps inside_w = taps_inside(window.w, ox, input.w);
                for (Index fy = inside_h.begin; fy < inside_h.end; ++fy) {
                    T* row = plane + source(window.h, oy, fy) * input.w;
                    for (Index fx = inside_w.begin; fx < inside_w.end; ++fx)
                        row[source(window.w, ox, fx)] += from[fy * FW + fx];
                }
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
