// Max and average pooling.
//
//   x, dx            (N, C, H, W)
//   y, dout, argmax  (N, C, OH, OW)   argmax: fy*pool_w + fx of the winning tap, in the smallest unsigned type
//
// Padding never wins a maximum. The first maximum wins a tie; the first NaN wins over every number. A window
// that holds padding alone gives -inf and argmax 0, a tap on padding, so that it passes no gradient.
//
// Forward, a vector of neighbouring windows of one output row goes over its taps together, one window to a lane.
// Where windows reach into the padding, they go one at a time over the taps that are inside.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Calls body(integer) with a value of the unsigned type that has `bytes` bytes.
template <class Body>
inline void with_argmax_type(int bytes, const Body& body) {
    switch (bytes) {
        case 1: return body(std::uint8_t());
        case 2: return body(std::uint16_t());
        case 4: return body(std::uint32_t());
        default: return body(std::uint64_t());
    }
}

// Positions [begin, end) of a window whose taps all fall on the input.
struct Interior {
    Index begin, end;
};

inline Interior interior(const Axis& axis, Index input, Index output) {
    const Index begin = (axis.pad_before + axis.stride - 1) / axis.stride;
    const Index room = input + axis.pad_before - reach(axis);
    const Index fitting = room < 0 ? 0 : room / axis.stride + 1;
    const Index end = fitting < output ? fitting : output;
    return {begin < end ? begin : end, end};
}

// What max pooling does with the taps of N windows of a plane. Average has the same parts.
template <class T, class Argmax>
struct Maximum {
    T* y;
    Argmax* argmax;

    // A vector numbers its taps in integers as wide as T, to select them by comparisons of T. Windows of more taps
    // than a byte can number are pooled one by one: there are few of them to a row.
    static constexpr bool in_vectors = sizeof(Argmax) == 1;
    using Tap = typename Choose<in_vectors, WholeLanes<T>, Index>::Type;

    template <int N>
    struct State {
        Lanes<T, N> best;
        Lanes<Tap, N> best_tap;
    };

    // The first pixel's tap leads, so that pixels of -inf beat padding.
    template <int N>
    State<N> start(Index first_tap) const {
        return {broadcast<N>(T(-__builtin_inf())), broadcast<N>(Tap(first_tap))};
    }

    template <int N>
    void take(State<N>& state, Lanes<T, N> value, Index tap) const {
        // Not "value > best": a NaN must win, and the first one stay.
        const auto keeps = (value <= state.best) | (state.best != state.best);
        state.best = keeps ? state.best : value;
        state.best_tap = keeps ? state.best_tap : broadcast<N>(Tap(tap));
    }

    template <int N>
    void finish(const State<N>& state, Index at, Index) const {
        store<N>(y + at, state.best);
        if constexpr (in_vectors)
            store_bytes<T, N>(argmax + at, state.best_tap);
        else
            argmax[at] = Argmax(state.best_tap);
    }
};

// How many taps of the window at `position` an average divides by. Counting padding, only what lies in the padded
// input counts: a last window that ceil_mode lets hang over its edge has fewer taps there.
inline Index averaged_taps(Axis axis, Index position, Index input, bool count_include_pad) {
    if (count_include_pad) {
        input += axis.pad_before + axis.pad_after;
        axis.pad_before = 0;
    }
    const Taps taps = taps_inside(axis, position, input);
    return taps.end - taps.begin;
}

template <class T>
struct Average {
    T* y;

    static constexpr bool in_vectors = true;

    template <int N>
    struct State {
        Lanes<T, N> sum;
    };

    template <int N>
    State<N> start(Index) const {
        return {Lanes<T, N>{}};
    }

    template <int N>
    void take(State<N>& state, Lanes<T, N> value, Index) const {
        state.sum += value;
    }

    template <int N>
    void finish(const State<N>& state, Index at, Index count) const {
        store<N>(y + at, state.sum / T(count > 0 ? count : 1));
    }
};

// The geometry that all planes share.
struct Planes {
    Shape input;
    Extent output;
    Window window;
    bool count_include_pad;

    Index count() const { return input.n * input.c; }
    Index pixels() const { return input.h * input.w; }
    Index windows() const { return output.h * output.w; }
    double work() const { return double(windows()) * double(window.h.filter * window.w.filter); }
};

// Pools the N windows whose first begins at (row, column) of the plane and is output `at`.
// Stride and Width are those of the windows where the compiler knows them, else 0.
template <int N, int Stride, int Width, class T, class Pooling>
inline void pool_windows(const Pooling& pooling, const T* plane, Index W, const Window& window, Index at, Index row,
                         Index column, Taps taps_h, Taps taps_w, Index count) {
    const Index FW = Width > 0 ? Width : window.w.filter, dilation = Width > 0 ? 1 : window.w.dilation;
    const bool any = taps_h.begin < taps_h.end && taps_w.begin < taps_w.end;
    auto state = pooling.template start<N>(any ? taps_h.begin * FW + taps_w.begin : 0);
    for (Index fy = taps_h.begin; fy < taps_h.end; ++fy) {
        const Index first = (row + fy * window.h.dilation) * W + column;
        for (Index fx = taps_w.begin; fx < taps_w.end; ++fx) {
            const auto values = load_every<N, Stride>(plane + (first + fx * dilation), window.w.stride);
            pooling.take(state, values, fy * FW + fx);
        }
    }
    pooling.finish(state, at, count);
}

// Pools windows [begin, end) of output row oy one by one, over the taps that are inside.
template <class T, class Pooling>
void pool_border(const Pooling& pooling, const Planes& planes, const T* plane, Index oy, Index begin, Index end,
                 Taps taps_h, Index rows) {
    const Window& window = planes.window;
    const Index W = planes.input.w;
    for (Index ox = begin; ox < end; ++ox) {
        const Index columns = averaged_taps(window.w, ox, W, planes.count_include_pad);
        pool_windows<1, 1, 0>(pooling, plane, W, window, oy * planes.output.w + ox, source(window.h, oy, 0),
                              source(window.w, ox, 0), taps_h, taps_inside(window.w, ox, W), rows * columns);
    }
}

template <int N, int Stride, int Width, class T, class Pooling>
void pool_rows(const Pooling pooling, const Planes& planes, const T* plane) {
    const Window window = planes.window;  // a copy: the compiler sees that no store below changes it
    const Index W = planes.input.w, OW = planes.output.w, FW = Width > 0 ? Width : window.w.filter;
    const Interior inside = interior(window.w, W, OW);
    for (Index oy = 0; oy < planes.output.h; ++oy) {
        const Taps taps_h = taps_inside(window.h, oy, planes.input.h);
        const Index rows = averaged_taps(window.h, oy, planes.input.h, planes.count_include_pad);
        if (inside.begin > 0) pool_border(pooling, planes, plane, oy, 0, inside.begin, taps_h, rows);
        for (Index next = inside.begin; next < inside.end; next += N) {
            // The last vector overlaps the one before it and gives the same results there once more.
            const Index ox = next + N <= inside.end ? next : inside.end - N;
            pool_windows<N, Stride, Width>(pooling, plane, W, window, oy * OW + ox, source(window.h, oy, 0),
                                           source(window.w, ox, 0), taps_h, Taps{0, FW}, rows * FW);
        }
        if (inside.end < OW) pool_border(pooling, planes, plane, oy, inside.end, OW, taps_h, rows);
    }
}

template <class T, class Pooling>
void pool_plane(const Pooling& pooling, const Planes& planes, const T* plane) {
    const Axis& w = planes.window.w;
    const Interior inside = interior(w, planes.input.w, planes.output.w);
    with_lanes<T, Pooling::in_vectors ? int(vector_lanes<T>) : 1>(inside.end - inside.begin, [&](auto lanes) {
        constexpr int N = decltype(lanes)::value;
        if (N == 1 || w.stride == 1)
            pool_rows<N, 1, 0>(pooling, planes, plane);
        else if (w.stride == 2 && w.filter == 2 && w.dilation == 1)
            pool_rows<N, 2, 2>(pooling, planes, plane);
        else if (w.stride == 2)
            pool_rows<N, 2, 0>(pooling, planes, plane);
        else
            pool_rows<N, 0, 0>(pooling, planes, plane);
    });
}

template <class T>
void max_pool2d(const T* x, T* y, void* argmax, int argmax_bytes, Shape input, Extent output, Window window) {
    const Planes planes{input, output, window, false};
    with_argmax_type(argmax_bytes, [&](auto zero) {
        using Argmax = decltype(zero);
        parallel_for(planes.count(), planes.work(), [&](Index item) {
            const Index at = item * planes.windows();
            const Maximum<T, Argmax> pooling{y + at, static_cast<Argmax*>(argmax) + at};
            pool_plane(pooling, planes, x + item * planes.pixels());
        });
    });
}

template <class T>
void avg_pool2d(const T* x, T* y, Shape input, Extent output, Window window, bool count_include_pad) {
    const Planes planes{input, output, window, count_include_pad};
    parallel_for(planes.count(), planes.work(), [&](Index item) {
        pool_plane(Average<T>{y + item * planes.windows()}, planes, x + item * planes.pixels());
    });
}

// Do windows 2 wide and 2 high, 2 apart, lie side by side on the image?
inline bool tiled_by_2x2(const Planes& planes) {
    const auto pairs = [](const Axis& axis, Index input, Index output) {
        return axis.filter == 2 && axis.stride == 2 && axis.dilation == 1 && axis.pad_before == 0 &&
               2 * output <= input;
    };
    return pairs(planes.window.h, planes.input.h, planes.output.h) &&
           pairs(planes.window.w, planes.input.w, planes.output.w);
}

// The gradient of one plane of 2x2 tiles: every pixel is written once.
template <int N, class T>
void max_pool_tiles_backward(const T* dout, const std::uint8_t* argmax, T* plane, Shape input, Extent output) {
    for (Index oy = 0; oy < output.h; ++oy, dout += output.w, argmax += output.w) {
        T *const upper = plane + 2 * oy * input.w, *const lower = upper + input.w;
        for (Index next = 0; next < output.w; next += N) {
            const Index ox = next + N <= output.w ? next : output.w - N;  // the last one may overlap
            const Lanes<T, N> gradient = load<N>(dout + ox), zero{};
            const WholeLanes<T, N> winner = load_whole<T, N>(argmax + ox);
            const auto share = [&](int tap) { return winner == tap ? gradient : zero; };
            store_alternately(upper + 2 * ox, share(0), share(1), typename Counting<N>::Type());
            store_alternately(lower + 2 * ox, share(2), share(3), typename Counting<N>::Type());
        }
        if (input.w > 2 * output.w) upper[input.w - 1] = lower[input.w - 1] = 0;
    }
    fill(plane + 2 * output.h * input.w, (input.h - 2 * output.h) * input.w, T(0));
}

// Where a tap lies from the upper left corner of its window.
struct TapOffset {
    Index y, x;
};

inline TapOffset tap_offset(const Window& window, Index tap) {
    return {tap / window.w.filter * window.h.dilation, tap % window.w.filter * window.w.dilation};
}

// Each gradient of a plane is added to the pixel that won. Divisions are slow: a table answers for the taps of all
// but the largest windows.
template <class T, class Argmax>
void scatter_plane(const T* dout, const Argmax* argmax, T* plane, const Planes& planes,
                   const TapOffset (&table)[256]) {
    const Window window = planes.window;
    const Shape input = planes.input;
    const Extent output = planes.output;
    const Index taps = window.h.filter * window.w.filter;
    fill(plane, input.h * input.w, T(0));
    for (Index oy = 0; oy < output.h; ++oy) {
        const Index top = source(window.h, oy, 0);
        for (Index ox = 0, left = source(window.w, 0, 0); ox < output.w; ++ox, left += window.w.stride) {
            const Index tap = Index(*argmax++);
            const T gradient = *dout++;
            if (tap < 0 || tap >= taps) continue;
            const TapOffset offset = tap < 256 ? table[tap] : tap_offset(window, tap);
            const Index y = top + offset.y, x = left + offset.x;
            if (y >= 0 && y < input.h && x >= 0 && x < input.w) plane[y * input.w + x] += gradient;
        }
    }
}

template <class T>
void max_pool2d_backward(const T* dout, const void* argmax, int argmax_bytes, T* dx, Shape input, Extent output,
                         Window window) {
    const Planes planes{input, output, window, false};
    const Index pixels = planes.pixels(), windows = planes.windows();
    const double work = double(pixels + windows);
    if (tiled_by_2x2(planes)) {
        const std::uint8_t* const winner = static_cast<const std::uint8_t*>(argmax);
        return parallel_for(planes.count(), work, [&](Index item) {
            with_lanes<T>(output.w, [&](auto lanes) {
                max_pool_tiles_backward<decltype(lanes)::value>(dout + item * windows, winner + item * windows,
                                                                dx + item * pixels, input, output);
            });
        });
    }
    TapOffset table[256];
    for (Index tap = 0; tap < 256 && tap < window.h.filter * window.w.filter; ++tap)
        table[tap] = tap_offset(window, tap);
    with_argmax_type(argmax_bytes, [&](auto zero) {
        const auto* const winner = static_cast<const decltype(zero)*>(argmax);
        parallel_for(planes.count(), work, [&](Index item) {
            scatter_plane(dout + item * windows, winner + item * windows, dx + item * pixels, planes, table);
        });
    });
}

// Gradients of one output row, each divided by its window's count, are first summed up along the row (spread, as
// wide as the image), then added to every image row that the windows meet.
template <class T>
void avg_pool2d_backward(const T* dout, T* dx, Shape input, Extent output, Window window, bool count_include_pad) {
    const Planes planes{input, output, window, count_include_pad};
    const int parts = threads_for(planes.count(), double(planes.count()) * planes.work());
    const Scratch<T> scratch(parts * input.w);
    parallel_ranges(planes.count(), parts, [&](Index begin, Index end, int part) {
        T* const spread = scratch.data() + part * input.w;
        fill(dx + begin * planes.pixels(), (end - begin) * planes.pixels(), T(0));
        const T* gradient = dout + begin * planes.windows();
        for (Index i = begin * output.h; i < end * output.h; ++i) {
            const Index item = i / output.h, oy = i % output.h;
            const Index rows = averaged_taps(window.h, oy, input.h, count_include_pad);
            fill(spread, input.w, T(0));
            for (Index ox = 0; ox < output.w; ++ox) {
                const Index count = rows * averaged_taps(window.w, ox, input.w, count_include_pad);
                const T share = *gradient++ / T(count > 0 ? count : 1);
                const Taps taps = taps_inside(window.w, ox, input.w);
                for (Index fx = taps.begin; fx < taps.end; ++fx) spread[source(window.w, ox, fx)] += share;
            }
            const Taps taps = taps_inside(window.h, oy, input.h);
            for (Index fy = taps.begin; fy < taps.end; ++fy) {
                T* const row = dx + (item * input.h + source(window.h, oy, fy)) * input.w;
                for (Index x = 0; x < input.w; ++x) row[x] += spread[x];
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
