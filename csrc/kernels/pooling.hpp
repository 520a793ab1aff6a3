// Max and average pooling.
//
//   x, dx            (N, C, H, W)
//   y, dout, argmax  (N, C, OH, OW)   argmax: fy*pool_w + fx of the winning tap, in the smallest unsigned type
//
// Padding never wins a maximum. The first maximum wins a tie; the first NaN wins over every number. A window
// that holds padding alone gives -inf and argmax 0, a tap on padding, so that it passes no gradient.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Calls pool(integer) with a value of the unsigned type that has `bytes` bytes.
template <class Pool>
void with_argmax_type(int bytes, const Pool& pool) {
    switch (bytes) {
        case 1: return pool(std::uint8_t());
        case 2: return pool(std::uint16_t());
        case 4: return pool(std::uint32_t());
        default: return pool(std::uint64_t());
    }
}

inline double plane_work(Extent output, const Window& window) {
    return double(output.h * output.w) * double(window.h.filter * window.w.filter);
}

template <class T>
void max_pool2d(const T* x, T* y, void* argmax, int argmax_bytes, Shape input, Extent output, Window window) {
    with_argmax_type(argmax_bytes, [&](auto unsigned_zero) {
        using Argmax = decltype(unsigned_zero);
        parallel_for(input.n * input.c, plane_work(output, window), [&](Index item) {
            const T* plane = x + item * input.h * input.w;
            T* out = y + item * output.h * output.w;
            Argmax* winner = static_cast<Argmax*>(argmax) + item * output.h * output.w;
            for (Index oy = 0; oy < output.h; ++oy) {
                const Taps inside_h = taps_inside(window.h, oy, input.h);
                for (Index ox = 0; ox < output.w; ++ox, ++out, ++winner) {
                    const Taps inside_w = taps_inside(window.w, ox, input.w);
                    T best = T(-__builtin_inf());
                    Index best_tap = 0;
                    if (inside_h.begin < inside_h.end && inside_w.begin < inside_w.end) {
                        // The first pixel leads, so that pixels of -inf beat padding.
                        const Index y = source(window.h, oy, inside_h.begin);
                        best = plane[y * input.w + source(window.w, ox, inside_w.begin)];
                        best_tap = inside_h.begin * window.w.filter + inside_w.begin;
                    }
                    for (Index fy = inside_h.begin; fy < inside_h.end; ++fy) {
                        const T* row = plane + source(window.h, oy, fy) * input.w;
                        for (Index fx = inside_w.begin; fx < inside_w.end; ++fx) {
                            // Not "value > best": a NaN must win, and the first one stay. Two selections
                            // instead of a branch, which nobody could predict.
                            const T value = row[source(window.w, ox, fx)];
                            const bool wins = !(value <= best) & (best == best);
                            best = wins ? value : best;
                            best_tap = wins ? fy * window.w.filter + fx : best_tap;
                        }
                    }
                    *out = best;
                    *winner = Argmax(best_tap);
                }
            }
        });
    });
}

template <class T>
void max_pool2d_backward(const T* dout, const void* argmax, int argmax_bytes, T* dx, Shape input, Extent output,
                         Window window) {
    with_argmax_type(argmax_bytes, [&](auto unsigned_zero) {
        using Argmax = decltype(unsigned_zero);
        const Argmax last_tap = Argmax(window.h.filter * window.w.filter - 1);
        parallel_for(input.n * input.c, double(input.h * input.w + output.h * output.w), [&](Index item) {
            T* plane = dx + item * input.h * input.w;
            fill(plane, input.h * input.w, T(0));
            const T* gradient = dout + item * output.h * output.w;
            const Argmax* winner = static_cast<const Argmax*>(argmax) + item * output.h * output.w;
            for (Index oy = 0; oy < output.h; ++oy) {
                for (Index ox = 0; ox < output.w; ++ox, ++gradient, ++winner) {
                    if (*winner > last_tap) continue;
                    const Index y = source(window.h, oy, Index(*winner) / window.w.filter);
                    const Index x = source(window.w, ox, Index(*winner) % window.w.filter);
                    if (y >= 0 && y < input.h && x >= 0 && x < input.w) plane[y * input.w + x] += *gradient;
                }
            }
        });
    });
}

// Taps that an average over the window at (oy, ox) divides by. Counting padding, only what lies in the padded
// input counts: a last window that ceil_mode lets hang over its edge has fewer taps there.
inline Index averaged_taps(const Window& window, Index oy, Index ox, Shape input, bool count_include_pad) {
    Axis h = window.h, w = window.w;
    if (count_include_pad) {
        input.h += h.pad_before + h.pad_after;
        input.w += w.pad_before + w.pad_after;
        h.pad_before = w.pad_before = 0;
    }
    const Taps rows = taps_inside(h, oy, input.h), columns = taps_inside(w, ox, input.w);
    return (rows.end - rows.begin) * (columns.end - columns.begin);
}

template <class T>
void avg_pool2d(const T* x, T* y, Shape input, Extent output, Window window, bool count_include_pad) {
    parallel_for(input.n * input.c, plane_work(output, window), [&](Index item) {
        const T* plane = x + item * input.h * input.w;
        T* out = y + item * output.h * output.w;
        for (Index oy = 0; oy < output.h; ++oy) {
            const Taps inside_h = taps_inside(window.h, oy, input.h);
            for (Index ox = 0; ox < output.w; ++ox, ++out) {
                const Taps inside_w = taps_inside(window.w, ox, input.w);
                const Index count = averaged_taps(window, oy, ox, input, count_include_pad);
                T sum = 0;
                for (Index fy = inside_h.begin; fy < inside_h.end; ++fy) {
                    const T* row = plane + source(window.h, oy, fy) * input.w;
                    for (Index fx = inside_w.begin; fx < inside_w.end; ++fx) sum += row[source(window.w, ox, fx)];
                }
                *out = count > 0 ? sum / T(count) : T(0);
            }
        }
    });
}

template <class T>
void avg_pool2d_backward(const T* dout, T* dx, Shape input, Extent output, Window window, bool count_include_pad) {
    parallel_for(input.n * input.c, plane_work(output, window), [&](Index item) {
        T* plane = dx + item * input.h * input.w;
        fill(plane, input.h * input.w, T(0));
        const T* gradient = dout + item * output.h * output.w;
        for (Index oy = 0; oy < output.h; ++oy) {
            const Taps inside_h = taps_inside(window.h, oy, input.h);
            for (Index ox = 0; ox < output.w; ++ox, ++gradient) {
                const Taps inside_w = taps_inside(window.w, ox, input.w);
                const Index count = averaged_taps(window, oy, ox, input, count_include_pad);
                const T share = count > 0 ? *gradient / T(count) : T(0);
                for (Index fy = inside_h.begin; fy < inside_h.end; ++fy) {
                    T* row = plane + source(window.h, oy, fy) * input.w;
                    for (Index fx = inside_w.begin; fx < inside_w.end; ++fx) row[source(window.w, ox, fx)] += share;
                }
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
