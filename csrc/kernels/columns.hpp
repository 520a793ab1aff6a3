// im2col and col2im.
//
//   x, dx  (N, C, H, W)
//   col    (N*OH*OW, C*FH*FW)   a row per window (n, oy, ox), a column per tap (c, fy, fx)
//
// Both move FW neighbouring pixels at a time. For the common windows FW is a constant of an innermost function, and
// the compiler turns the move into one or two instructions without a loop.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Answers Function::at<FW>, a function made for windows of FW taps side by side, or null where there is none.
template <class Function, int FW = 7>
inline typename Function::Pointer made_for(const Axis& axis) {
    if constexpr (FW == 0)
        return nullptr;
    else
        return axis.filter == FW && axis.dilation == 1 ? &Function::template at<FW> : made_for<Function, FW - 1>(axis);
}

// One row of col, of a window that lies inside the image with its upper left pixel at `corner`. rows[i] is where
// the i-th of its C*FH rows of taps begins, counted from there.
template <class T>
struct CopyWindow {
    typedef void (*Pointer)(const T* corner, const Index* rows, Index count, T* to);

    template <int FW>
    static void at(const T* corner, const Index* rows, Index count, T* to) {
        for (Index i = 0; i < count; ++i) __builtin_memcpy(to + i * FW, corner + rows[i], FW * sizeof(T));
    }
};

// One row of col, of a window anywhere: taps on padding are 0.
template <class T>
void copy_clipped(const T* image, T* to, Shape input, const Window& window, Index oy, Index ox) {
    const Taps inside = taps_inside(window.w, ox, input.w);
    for (Index c = 0; c < input.c; ++c) {
        for (Index fy = 0; fy < window.h.filter; ++fy, to += window.w.filter) {
            const Index y = source(window.h, oy, fy), row = (c * input.h + y) * input.w;
            const Taps copied = y >= 0 && y < input.h ? inside : Taps{0, 0};
            for (Index fx = 0; fx < copied.begin; ++fx) to[fx] = 0;
            for (Index fx = copied.begin; fx < copied.end; ++fx) to[fx] = image[row + source(window.w, ox, fx)];
            for (Index fx = copied.end; fx < window.w.filter; ++fx) to[fx] = 0;
        }
    }
}

template <class T>
void im2col(const T* x, T* col, Shape input, Extent output, Window window) {
    const Index FH = window.h.filter, FW = window.w.filter, window_rows = input.c * FH, row_size = window_rows * FW;
    const auto copy_window = made_for<CopyWindow<T>>(window.w);
    const Scratch<Index> rows(copy_window ? window_rows : 0);
    if (copy_window)
        for (Index i = 0; i < window_rows; ++i)
            rows.data()[i] = (i / FH * input.h + i % FH * window.h.dilation) * input.w;
    parallel_for(input.n * output.h, double(output.w * row_size), [&](Index item) {
        const Index n = item / output.h, oy = item % output.h, top = source(window.h, oy, 0);
        const T* const image = x + n * input.c * input.h * input.w;
        const bool row_inside = copy_window && top >= 0 && top + reach(window.h) <= input.h;
        T* to = col + item * output.w * row_size;
        for (Index ox = 0; ox < output.w; ++ox, to += row_size) {
            const Index left = source(window.w, ox, 0);
            if (row_inside && left >= 0 && left + FW <= input.w)
                copy_window(image + top * input.w + left, rows.data(), window_rows, to);
            else
                copy_clipped(image, to, input, window, oy, ox);
        }
    });
}

// What windows one pixel apart add to an image row: sums[ox + fx] is the sum of from[ox * row_size + fx].
// A pixel's sum is complete, and leaves the registers, when the window moves past it.
template <class T>
struct FoldRow {
    typedef void (*Pointer)(const T* from, Index row_size, Index OW, T* sums);

    template <int FW>
    static void at(const T* from, Index row_size, Index OW, T* sums) {
        T open[FW] = {};
        for (Index ox = 0; ox < OW; ++ox, from += row_size) {
            sums[ox] = open[0] + from[0];
            for (int fx = 1; fx < FW; ++fx) open[fx - 1] = open[fx] + from[fx];
        }
        for (int fx = 1; fx < FW; ++fx) sums[OW + fx - 1] = open[fx - 1];
    }
};

// The same for windows any distance apart, added to the image row one by one.
template <class T>
void add_clipped(const T* from, Index row_size, Index OW, T* row, Index W, const Axis& axis) {
    for (Index ox = 0; ox < OW; ++ox, from += row_size) {
        const Taps inside = taps_inside(axis, ox, W);
        for (Index fx = inside.begin; fx < inside.end; ++fx) row[source(axis, ox, fx)] += from[fx];
    }
}

// The adjoint of im2col: every entry of col is added to the pixel it was copied from. One thread owns a whole
// channel, so overlapping windows never race.
template <class T>
void col2im(const T* col, T* dx, Shape input, Extent output, Window window) {
    const Index taps = window.h.filter * window.w.filter, row_size = input.c * taps;
    const Index planes = input.n * input.c, pad = window.w.pad_before;
    const int parts = threads_for(planes, double(planes) * double(output.h * output.w * taps));
    const auto fold_row = window.w.stride == 1 ? made_for<FoldRow<T>>(window.w) : nullptr;
    const Index reached = output.w + window.w.filter - 1;  // columns of the padded image under some window
    const Index end = reached - pad < input.w ? reached - pad : input.w;
    const Scratch<T> scratch(fold_row ? parts * reached : 0);
    parallel_ranges(planes, parts, [&](Index first, Index last, int part) {
        T* const sums = scratch.data() + part * reached;
        fill(dx + first * input.h * input.w, (last - first) * input.h * input.w, T(0));
        // Row by row through all channels of an image: what is neighbours in col is read together.
        for (Index n = first / input.c; n * input.c < last; ++n) {
            const Index skipped = first - n * input.c, begin_c = skipped > 0 ? skipped : 0;
            const Index owned = last - n * input.c, end_c = owned < input.c ? owned : input.c;
            for (Index oy = 0; oy < output.h; ++oy) {
                const Taps rows = taps_inside(window.h, oy, input.h);
                const T* const windows = col + (n * output.h + oy) * output.w * row_size;
                for (Index c = begin_c; c < end_c; ++c) {
                    for (Index fy = rows.begin; fy < rows.end; ++fy) {
                        const T* const from = windows + c * taps + fy * window.w.filter;
                        T* const row = dx + ((n * input.c + c) * input.h + source(window.h, oy, fy)) * input.w;
                        if (!fold_row) {
                            add_clipped(from, row_size, output.w, row, input.w, window.w);
                            continue;
                        }
                        fold_row(from, row_size, output.w, sums);
                        for (Index x = 0; x < end; ++x) row[x] += sums[x + pad];
                    }
                }
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
