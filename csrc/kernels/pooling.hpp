// Max and average pooling, forward.
//
//   x          (N, C, H, W)
//   y, argmax  (N, C, OH, OW)   argmax: fy*pool_w + fx of the winning tap, in the smallest unsigned type
//
// Padding never wins a maximum. The first maximum wins a tie; the first NaN wins over every number. A window
// that holds padding alone gives -inf and argmax 0, a tap on padding, so that it passes no gradient.
//
// A vector of neighbouring windows of one output row goes over its taps together, one window to a lane. Where windows
// reach into the padding, they go one at a time over the taps that are inside.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// An argmax of taps that a byte cannot number, in unsigned integers of `bytes` bytes. There are few such windows to an
// image: one kernel serves all three types.
struct WideTaps {
    const void* taps;
    int bytes;

    Index operator[](Index i) const {
        switch (bytes) {
            case 2: return static_cast<const std::uint16_t*>(taps)[i];
            case 4: return static_cast<const std::uint32_t*>(taps)[i];
            default: return Index(static_cast<const std::uint64_t*>(taps)[i]);
        }
    }
};

inline void set_wide_tap(void* taps, int bytes, Index i, Index tap) {
    switch (bytes) {
        case 2: static_cast<std::uint16_t*>(taps)[i] = std::uint16_t(tap); break;
        case 4: static_cast<std::uint32_t*>(taps)[i] = std::uint32_t(tap); break;
        default: static_cast<std::uint64_t*>(taps)[i] = std::uint64_t(tap);
    }
}

// Calls body(taps) with taps[i] the number at i of an argmax.
template <class Body>
inline void with_taps(const void* argmax, int bytes, const Body& body) {
    if (bytes == 1)
        body(static_cast<const std::uint8_t*>(argmax));
    else
        body(WideTaps{argmax, bytes});
}

// The positions of a window whose taps all fall on the input.
inline Range interior(Axis axis, Index input, Index output) {
    axis.pad_after = 0;
    const Index end = smaller(positions(axis, input, false), output);
    return {smaller(divided_up(axis.pad_before, axis.stride), end), end};
}

// What max pooling does with the taps of N windows of a plane. Average has the same parts.
//
// A vector numbers its taps in integers as wide as T, to select them by comparisons of T. Windows of more taps than a
// byte can number are pooled one by one: there are few of them to a row.
template <class T, bool InVectors>
struct Maximum {
    T* y;
    void* argmax;
    int argmax_bytes;

    static constexpr bool in_vectors = InVectors, minds_nan = true;
    using Tap = typename Choose<in_vectors, WholeLanes<T>, Index>::Type;

    // The same for the windows from i on.
    Maximum from(Index i) const { return {y + i, static_cast<char*>(argmax) + i * argmax_bytes, argmax_bytes}; }

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

    // What start(0) and take(value, 0) come to.
    template <int N>
    State<N> start_with(Lanes<T, N> value) const {
        return {value, broadcast<N>(Tap(0))};
    }

    template <int N>
    void take(State<N>& state, Lanes<T, N> value, Index tap) const {
        // Not "value > best": a NaN must win, and the first one stay.
        replace<N>(state, (value <= state.best) | (state.best != state.best), value, tap);
    }

    // The same where the best so far is no NaN.
    template <int N>
    void take_after_numbers(State<N>& state, Lanes<T, N> value, Index tap) const {
        replace<N>(state, value <= state.best, value, tap);
    }

    // The state with lanes, which load_pairs left out of order, in the windows' order.
    template <int N, int... I>
    State<N> ordered(const State<N>& state, Sequence<I...> lanes) const {
        return {restore_order(state.best, lanes), restore_order(state.best_tap, lanes)};
    }

    template <int N>
    void finish(const State<N>& state, Index at, Index) const {
        store<N>(y + at, state.best);
        if constexpr (in_vectors)
            store_bytes<T, N>(static_cast<std::uint8_t*>(argmax) + at, state.best_tap);
        else
            set_wide_tap(argmax, argmax_bytes, at, state.best_tap);
    }

private:
    template <int N, class Mask>
    static void replace(State<N>& state, const Mask& keeps, Lanes<T, N> value, Index tap) {
        state.best = keeps ? state.best : value;
        state.best_tap = keeps ? state.best_tap : broadcast<N>(Tap(tap));
    }
};

// How many taps of the window at `position` an average divides by. Counting padding, only what lies in the padded
// input counts: a last window that ceil_mode lets hang over its edge has fewer taps there.
inline Index averaged_taps(Axis axis, Index position, Index input, bool count_include_pad) {
    if (count_include_pad) {
        input += axis.pad_before + axis.pad_after;
        axis.pad_before = 0;
    }
    return taps_inside(axis, position, input).size();
}

template <class T>
struct Average {
    T* y;

    static constexpr bool in_vectors = true, minds_nan = false;

    Average from(Index i) const { return {y + i}; }

    template <int N>
    struct State {
        Lanes<T, N> sum;
    };

    template <int N>
    State<N> start(Index) const {
        return {Lanes<T, N>{}};
    }

    template <int N>
    State<N> start_with(Lanes<T, N> value) const {
        return {value};
    }

    template <int N>
    void take(State<N>& state, Lanes<T, N> value, Index) const {
        state.sum += value;
    }

    template <int N, int... I>
    State<N> ordered(const State<N>& state, Sequence<I...> lanes) const {
        return {restore_order(state.sum, lanes)};
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

// Do windows 2 wide and 2 high, 2 apart, lie side by side on the image?
inline bool tiled_by_2x2(const Planes& planes) {
    const auto pairs = [](const Axis& axis, Index input, Index output) {
        return axis.filter == 2 && axis.stride == 2 && axis.dilation == 1 && axis.pad_before == 0 &&
               2 * output <= input;
    };
    return pairs(planes.window.h, planes.input.h, planes.output.h) &&
           pairs(planes.window.w, planes.input.w, planes.output.w);
}

// Pools the N windows whose first begins at (row, column) of the plane and is output `at`.
// Stride is the windows' where it is 1 or 2, else 0; of a single window, 1.
template <int N, int Stride, class T, class Pooling>
inline void pool_windows(const Pooling& pooling, const T* plane, Index W, const Window& window, Index at, Index row,
                         Index column, Range taps_h, Range taps_w, Index count) {
    const Index FW = window.w.filter, dilation = window.w.dilation;
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
                 Range taps_h, Index rows) {
    const Window& window = planes.window;
    const Index W = planes.input.w;
    for (Index ox = begin; ox < end; ++ox) {
        const Index columns = averaged_taps(window.w, ox, W, planes.count_include_pad);
        pool_windows<1, 1>(pooling, plane, W, window, oy * planes.output.w + ox, source(window.h, oy, 0),
                           source(window.w, ox, 0), taps_h, taps_inside(window.w, ox, W), rows * columns);
    }
}

template <int N, int Stride, class T, class Pooling>
void pool_rows(const Pooling pooling, const Planes& planes, const T* plane) {
    const Window window = planes.window;  // a copy: the compiler sees that no store below changes it
    const Index W = planes.input.w, OW = planes.output.w, FW = window.w.filter;
    const Range inside = interior(window.w, W, OW);
    for (Index oy = 0; oy < planes.output.h; ++oy) {
        const Range taps_h = taps_inside(window.h, oy, planes.input.h);
        const Index rows = averaged_taps(window.h, oy, planes.input.h, planes.count_include_pad);
        if (inside.begin > 0) pool_border(pooling, planes, plane, oy, 0, inside.begin, taps_h, rows);
        for (Index next = inside.begin; next < inside.end; next += N) {
            // The last vector overlaps the one before it and gives the same results there once more.
            const Index ox = next + N <= inside.end ? next : inside.end - N;
            pool_windows<N, Stride>(pooling, plane, W, window, oy * OW + ox, source(window.h, oy, 0),
                                    source(window.w, ox, 0), taps_h, Range{0, FW}, rows * FW);
        }
        if (inside.end < OW) pool_border(pooling, planes, plane, oy, inside.end, OW, taps_h, rows);
    }
}

// Calls body(lanes, item, begin, end) for output rows [begin, end), counted from plane `item` on, of planes of 2x2
// tiles. Where a row has fewer windows than a vector, the vector runs on into the rows and planes behind, which
// overwrite later what is wrong there. A thread's last rows, with too little behind them, go one window at a time.
template <class T, class Body>
void for_tile_rows(const Planes& planes, const Body& body) {
    constexpr int L = int(vector_lanes<T>);
    const Index count = planes.count(), OW = planes.output.w, OH = planes.output.h;
    parallel_ranges(count, threads_for(count, double(count) * planes.work()), [&](Index begin, Index end, int) {
        // Planes without a row below the tiles lie one on another like a single high one.
        const Index together = planes.input.h == 2 * OH ? end - begin : 1, rows = together * OH;
        Index in_vectors = (end - begin) * OH - (OW < L ? divided_up(L, OW) - 1 : 0);
        for (Index item = begin; item < end; item += together, in_vectors -= rows) {
            const Index first = larger(smaller(in_vectors, rows), 0);
            body(Constant<L>(), item, 0, first);
            if (first < rows) body(Constant<1>(), item, first, rows);
        }
    });
}

// Pools output rows [begin, end) of a plane of 2x2 tiles, in vectors. With `Numbers` it takes a tile's first three
// pixels for numbers, which is a third faster, and answers whether one may have been a NaN: then the results are wrong.
// Without, it answers false.
template <bool Numbers, class T, class Pooling>
PYCONV_ONCE bool pool_tiles(const Pooling pooling, const Planes& planes, const T* plane, Index begin, Index end) {
    constexpr int N = int(vector_lanes<T>);
    const Index W = planes.input.w, OW = planes.output.w;
    Lanes<T, N> doubt{};  // a sum of pixels is a NaN where one of them is
    for (Index oy = begin; oy < end; ++oy) {
        const T *const upper = plane + 2 * oy * W, *const lower = upper + W;
        for (Index next = 0; next < OW; next += N) {
            const Index ox = next + N <= OW || OW < N ? next : OW - N;  // the last one may overlap
            const auto top = load_pairs<N>(upper + 2 * ox), bottom = load_pairs<N>(lower + 2 * ox);
            auto state = pooling.template start_with<N>(top.even);
            const auto take = [&](Lanes<T, N> value, Index tap) {
                if constexpr (Numbers)
                    pooling.template take_after_numbers<N>(state, value, tap);
                else
                    pooling.template take<N>(state, value, tap);
            };
            take(top.odd, 1);
            take(bottom.even, 2);
            take(bottom.odd, 3);
            if constexpr (Numbers) doubt += (top.even + top.odd) + bottom.even;
            pooling.finish(pooling.ordered(state, Counting<N>()), oy * OW + ox, 4);
        }
    }
    const T total = sum_lanes<T, N>(doubt);
    return total != total;
}

template <class T, class Pooling>
void pool_plane(const Pooling& pooling, const Planes& planes, const T* plane) {
    const Axis& w = planes.window.w;
    const Range inside = interior(w, planes.input.w, planes.output.w);
    const auto pool_in = [&](auto lanes) {
        constexpr int N = decltype(lanes)::value;
        if (N == 1 || w.stride == 1)
            pool_rows<N, 1>(pooling, planes, plane);
        else if (w.stride == 2)
            pool_rows<N, 2>(pooling, planes, plane);
        else
            pool_rows<int(smaller(N, 4)), 0>(pooling, planes, plane);  // longer vectors gain nothing: a load per lane
    };
    constexpr int L = Pooling::in_vectors ? int(vector_lanes<T>) : 1;
    const Index together = inside.size();
    if constexpr (L > 4)
        if (together >= L) return pool_in(Constant<L>());
    if constexpr (L == 4 || (L > 4 && hurries<T>))
        if (together >= 4) return pool_in(Constant<4>());
    pool_in(Constant<1>());
}

template <class T, class Pooling>
void pool_planes(const Pooling& pooling, const T* x, const Planes& planes) {
    const Index pixels = planes.pixels(), windows = planes.windows();
    if constexpr (Pooling::in_vectors)
        if (tiled_by_2x2(planes))
            return for_tile_rows<T>(planes, [&](auto lanes, Index item, Index begin, Index end) {
                const Pooling here = pooling.from(item * windows);
                const T* const plane = x + item * pixels;
                if constexpr (decltype(lanes)::value > 1) {
                    if constexpr (Pooling::minds_nan)
                        if (!pool_tiles<true>(here, planes, plane, begin, end)) return;
                    pool_tiles<false>(here, planes, plane, begin, end);
                } else
                    for (Index oy = begin; oy < end; ++oy)
                        pool_border(here, planes, plane, oy, 0, planes.output.w, Range{0, 2}, 2);
            });
    parallel_for(planes.count(), planes.work(),
                 [&](Index item) { pool_plane(pooling.from(item * windows), planes, x + item * pixels); });
}

template <class T>
void max_pool2d(const T* x, T* y, void* argmax, int argmax_bytes, Shape input, Extent output, Window window) {
    const Planes planes{input, output, window, false};
    if (argmax_bytes == 1)
        pool_planes(Maximum<T, true>{y, argmax, argmax_bytes}, x, planes);
    else
        pool_planes(Maximum<T, false>{y, argmax, argmax_bytes}, x, planes);
}

template <class T>
void avg_pool2d(const T* x, T* y, Shape input, Extent output, Window window, bool count_include_pad) {
    pool_planes(Average<T>{y}, x, Planes{input, output, window, count_include_pad});
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
