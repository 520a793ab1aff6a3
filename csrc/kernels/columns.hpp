// im2col and col2im.
//
//   x, dx  (N, C, H, W)
//   col    (N*OH*OW, C*FH*FW)   a row per window (n, oy, ox), a column per tap (c, fy, fx)
//
// Both move FW neighbouring pixels at a time. For the common windows FW is a constant of an innermost function, and
// the move is one vector of at least FW elements: what it takes too much is overwritten, or dropped, by the next.
#pragma once

#include "../memory.hpp"
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

// The elements of the vector that moves FW taps.
constexpr int covering(int FW) { return FW > 4 ? 8 : FW > 2 ? 4 : FW; }

// Rows of col, `to_step` numbers apart, of windows `step` pixels apart, the first with its upper left pixel at
// `corner`. starts[i] is where the i-th of a window's C*FH rows of taps begins, counted from there. `RunOn`: what lies
// behind each row of col, and the pixels behind each row of taps, may be touched.
template <class T, bool RunOn>
struct CopyWindows {
    typedef void (*Pointer)(const T* corner, Index step, Index windows, const Index* starts, Index count, T* to,
                            Index to_step);

    template <int FW>
    static void at(const T* corner, Index step, Index windows, const Index* starts, Index count, T* to,
                   Index to_step) {
        constexpr int N = covering(FW);
        for (; windows > 0; --windows, corner += step, to += to_step) {
            T* taps = to;
// The loop is so short that where it lies in memory would decide its speed.
#pragma GCC unroll 2
            for (Index i = 0; i < count; ++i, taps += FW)
                if constexpr (RunOn)
                    store<N>(taps, load<N>(corner + starts[i]));
                else
                    __builtin_memcpy(taps, corner + starts[i], FW * sizeof(T));
        }
    }
};

// One row of col, of a window anywhere: taps on padding are 0.
template <class T>
void copy_clipped(const T* image, T* to, Shape input, const Window& window, Index oy, Index ox) {
    const Range inside = taps_inside(window.w, ox, input.w);
    for (Index c = 0; c < input.c; ++c) {
        for (Index fy = 0; fy < window.h.filter; ++fy, to += window.w.filter) {
            const Index y = source(window.h, oy, fy), row = (c * input.h + y) * input.w;
            const Range copied = y >= 0 && y < input.h ? inside : Range{0, 0};
            for (Index fx = 0; fx < copied.begin; ++fx) to[fx] = 0;
            for (Index fx = copied.begin; fx < copied.end; ++fx) to[fx] = image[row + source(window.w, ox, fx)];
            for (Index fx = copied.end; fx < window.w.filter; ++fx) to[fx] = 0;
        }
    }
}

// Copies the image rows under output row oy, C*FH of them, into lines: their zeros left and right stand there already.
template <class T>
void pad_lines(const T* image, T* lines, Index pitch, Shape input, const Window& window, Index oy) {
    T* to = lines + window.w.pad_before;
    for (Index c = 0; c < input.c; ++c)
        for (Index fy = 0; fy < window.h.filter; ++fy, to += pitch) {
            const Index y = source(window.h, oy, fy);
            const T* const row = image + (c * input.h + y) * input.w;
            if (y >= 0 && y < input.h)
                __builtin_memcpy(to, row, input.w * sizeof(T));
            else
                __builtin_memset(to, 0, input.w * sizeof(T));
            for (Index x = 0; x < input.w; x += 64 / Index(sizeof(T)))  // for the next output row
                __builtin_prefetch(row + window.h.stride * input.w + x);
        }
}

template <class T>
void im2col(const T* x, T* col, Shape input, Extent output, Window window) {
    const Axis &h = window.h, &w = window.w;
    const Index count = input.c * h.filter, row_size = count * w.filter;
    const auto copy_exactly = made_for<CopyWindows<T, false>>(w), copy_running_on = made_for<CopyWindows<T, true>>(w);
    const bool padded = h.pad_before || h.pad_after || w.pad_before || w.pad_after;
    const Index pitch = padded ? w.pad_before + input.w + w.pad_after : input.w;
    const Index lines_size = copy_exactly && padded ? numbers_of_lines(count, pitch) : 0;
    const Scratch<Index> starts(copy_exactly ? count : 0);
    if (copy_exactly)
        for (Index i = 0; i < count; ++i)
            starts.data()[i] = (padded ? i : i / h.filter * input.h + i % h.filter * h.dilation) * pitch;
    // so many windows of a row have others, and pixels, behind them
    const Index room = pitch - covering(int(w.filter));
    const Index running_on = room < 0 ? 0 : smaller(output.w - 1, room / w.stride + 1);
    const Index items = input.n * output.h;
    const int parts = threads_for(items, double(items) * double(output.w * row_size));
    const Scratch<T> scratch(parts * lines_size);
    parallel_ranges(items, parts, [&](Index begin, Index end, int part) {
        T* const lines = scratch.data() + part * lines_size;
        __builtin_memset(lines, 0, lines_size * sizeof(T));
        for (Index item = begin; item < end; ++item) {
            const Index n = item / output.h, oy = item % output.h;
            const T* const image = x + n * input.c * input.h * input.w;
            T* to = col + item * output.w * row_size;
            if (!copy_exactly) {
                for (Index ox = 0; ox < output.w; ++ox, to += row_size) copy_clipped(image, to, input, window, oy, ox);
                continue;
            }
            if (padded) pad_lines(image, lines, pitch, input, window, oy);
            const T* const first = padded ? lines : image + oy * h.stride * input.w;
            copy_running_on(first, w.stride, running_on, starts.data(), count, to, row_size);
            copy_exactly(first + running_on * w.stride, w.stride, output.w - running_on, starts.data(), count,
                         to + running_on * row_size, row_size);
        }
    });
}

// What windows one pixel apart add to image rows: sums[fy * step + ox + fx] is the sum of from[ox * row_size + fy * FW
// + fx], for one fy or, in square windows, for all. A pixel's sum is complete, and leaves the registers, when the
// window moves past it. The rows of the most usual windows are vectors that move past their lanes together.
template <class T, bool Square>
struct FoldRows {
    typedef void (*Pointer)(const T* from, Index row_size, Index OW, T* sums, Index step);

    template <int FW>
    static void at(const T* from, Index row_size, Index OW, T* sums, Index step) {
        if constexpr (Square && (FW == 3 || FW == 5) && covering(FW) <= vector_lanes<T>)
            in_vectors<FW, covering(FW)>(from, row_size, OW, sums, step);
        else
            for (int row = 0; row < (Square ? FW : 1); ++row)
                one_by_one<FW>(from + row * FW, row_size, OW, sums + row * step);
    }

private:
    template <int FW, int N>
    static void in_vectors(const T* from, Index row_size, Index OW, T* sums, Index step) {
        Lanes<T, N> open[FW] = {};
        for (Index ox = 0; ox + 1 < OW; ++ox, from += row_size)
            repeat<FW>([&](auto fy) {
                constexpr int row = decltype(fy)::value;
                const Lanes<T, N> sum = open[row] + load<N>(from + row * FW);
                sums[row * step + ox] = sum[0];
                open[row] = without_first<FW>(sum, Counting<N>());
            });
        repeat<FW>([&](auto fy) {
            constexpr int row = decltype(fy)::value;
            T rest[N];
            store<N>(rest, open[row]);
            for (int fx = 0; fx < FW; ++fx) sums[row * step + OW - 1 + fx] = rest[fx] + from[row * FW + fx];
        });
    }

    template <int FW>
    static void one_by_one(const T* from, Index row_size, Index OW, T* sums) {
        T open[FW] = {};
        for (Index ox = 0; ox < OW; ++ox, from += row_size) {
            sums[ox] = open[0] + from[0];
            for (int fx = 1; fx < FW; ++fx) open[fx - 1] = open[fx] + from[fx];
        }
        for (int fx = 1; fx < FW; ++fx) sums[OW + fx - 1] = open[fx - 1];
    }

    // Lanes 1, ..., FW - 1 and zeros
    template <int FW, int... I>
    static Lanes<T, sizeof...(I)> without_first(Lanes<T, sizeof...(I)> values, Sequence<I...>) {
        constexpr int N = sizeof...(I);
        return __builtin_shufflevector(values, Lanes<T, N>{}, (I + 1 < FW ? I + 1 : N)...);
    }
};

// What windows any distance apart add to one image row, one by one
template <class T>
void add_clipped(const T* from, Index row_size, Index OW, T* row, Index W, const Axis& axis) {
    for (Index ox = 0; ox < OW; ++ox, from += row_size) {
        const Range inside = taps_inside(axis, ox, W);
        for (Index fx = inside.begin; fx < inside.end; ++fx) row[source(axis, ox, fx)] += from[fx];
    }
}

// The adjoint of im2col: every entry of col is added to the pixel it was copied from. One thread owns a whole
// channel, so overlapping windows never race.
template <class T>
void col2im(const T* col, T* dx, Shape input, Extent output, Window window) {
    const Index FH = window.h.filter, FW = window.w.filter, taps = FH * FW, row_size = input.c * taps;
    const Index planes = input.n * input.c, pad = window.w.pad_before;
    const int parts = threads_for(planes, double(planes) * double(output.h * output.w * taps));
    const bool neighbours = window.w.stride == 1, square = FH == FW;
    const auto fold_rows = !neighbours ? nullptr
                           : square    ? made_for<FoldRows<T, true>>(window.w)
                                       : made_for<FoldRows<T, false>>(window.w);
    const Index reached = output.w + FW - 1;  // columns of the padded image under some window
    const Index end = reached - pad < input.w ? reached - pad : input.w;
    const Scratch<T> scratch(fold_rows ? parts * FH * reached : 0);
    parallel_ranges(planes, parts, [&](Index first, Index last, int part) {
        T* const sums = scratch.data() + part * FH * reached;
        fill(dx + first * input.h * input.w, (last - first) * input.h * input.w, T(0));
        // Row by row through all channels of an image: what is neighbours in col is read together.
        for (Index n = first / input.c; n * input.c < last; ++n) {
            const Index skipped = first - n * input.c, begin_c = skipped > 0 ? skipped : 0;
            const Index owned = last - n * input.c, end_c = owned < input.c ? owned : input.c;
            for (Index oy = 0; oy < output.h; ++oy) {
                const Range rows = taps_inside(window.h, oy, input.h);
                const T* const windows = col + (n * output.h + oy) * output.w * row_size;
                for (Index c = begin_c; c < end_c; ++c) {
                    const T* const from = windows + c * taps;
                    // a share of the next output row's windows
                    for (Index i = 0; i < output.w * taps; i += 64 / Index(sizeof(T)))
                        __builtin_prefetch(windows + output.w * (row_size + c * taps) + i);
                    for (Index fy = 0; fold_rows && fy < FH; fy += square ? FH : 1)
                        fold_rows(from + fy * FW, row_size, output.w, sums + fy * reached, reached);
                    for (Index fy = rows.begin; fy < rows.end; ++fy) {
                        T* const row = dx + ((n * input.c + c) * input.h + source(window.h, oy, fy)) * input.w;
                        if (fold_rows)
                            for (Index x = 0; x < end; ++x) row[x] += sums[fy * reached + x + pad];
                        else
                            add_clipped(from + fy * FW, row_size, output.w, row, input.w, window.w);
                    }
                }
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
