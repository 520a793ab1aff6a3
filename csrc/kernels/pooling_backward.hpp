// Max and average pooling, backward.
//
//   dx            (N, C, H, W)
//   dout, argmax  (N, C, OH, OW)   argmax: fy*pool_w + fx of the winning tap, in the smallest unsigned type
//
// Of a maximum, each window's gradient is added to the pixel that won. Of an average, a pixel's gradient is the sum of
// what the windows over it give back; it is gathered, for a vector of neighbouring pixels at a time, and written once.
#pragma once

#include "../memory.hpp"
#include "pooling.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// What the N windows from `at` on give to the pixels under their tap `tap`.
template <class T>
struct MaximumGradient {
    const T* dout;
    const std::uint8_t* argmax;

    MaximumGradient from(Index i) const { return {dout + i, argmax + i}; }

    template <int N>
    Lanes<T, N> share(Index at, Index tap) const {
        const Lanes<T, N> gradient = load<N>(dout + at), zero{};
        return load_whole<T, N>(argmax + at) == typename Whole<T>::Type(tap) ? gradient : zero;
    }
};

template <class T>
struct AverageGradient {
    const T* dout;
    T weight;

    AverageGradient from(Index i) const { return {dout + i, weight}; }

    template <int N>
    Lanes<T, N> share(Index at, Index) const {
        return load<N>(dout + at) * weight;
    }
};

// The gradient of output rows [begin, end) of a plane of 2x2 tiles.
template <int N, class T, class Gradient>
PYCONV_ONCE void tiles_backward(const Gradient gradient, T* plane, const Planes& planes, Index begin, Index end) {
    const auto lanes = Counting<N>();
    const Index W = planes.input.w, OW = planes.output.w;
    for (Index oy = begin; oy < end; ++oy) {
        T *const upper = plane + 2 * oy * W, *const lower = upper + W;
        for (Index next = 0; next < OW; next += N) {
            const Index ox = next + N <= OW || OW < N ? next : OW - N, at = oy * OW + ox;  // the last one may overlap
            const Lanes<T, N> shares[4] = {gradient.template share<N>(at, 0), gradient.template share<N>(at, 1),
                                           gradient.template share<N>(at, 2), gradient.template share<N>(at, 3)};
            store_alternately(upper + 2 * ox, shares[0], shares[1], lanes);
            store_alternately(lower + 2 * ox, shares[2], shares[3], lanes);
        }
        if (W > 2 * OW) upper[W - 1] = lower[W - 1] = 0;
    }
}

template <class T, class Gradient>
void tiles_backward(const Gradient& gradient, T* dx, const Planes& planes) {
    const Index W = planes.input.w, covered = 2 * planes.output.h * W, left_out = planes.pixels() - covered;
    for_tile_rows<T>(planes, [&](auto lanes, Index item, Index begin, Index end) {
        T* const plane = dx + item * planes.pixels();
        tiles_backward<decltype(lanes)::value>(gradient.from(item * planes.windows()), plane, planes, begin, end);
        if (end == planes.output.h) fill_few(plane + covered, left_out, T(0));
    });
}

// How an image row gathers from a row of windows. Its columns are split by the windows' stride into phases: column
// stride*q + phase lies under windows q + shift, for neighbouring shifts, one for each tap that meets the phase.
template <class T>
class Columns {
public:
    Columns(const Axis& axis, Index W, Index OW)
        : W_(W), stride_(OW > 1 ? axis.stride : 1),  // that of a lonely window has no bounds
          width_(rounded_up(divided_up(W, stride_), lanes)), shifts_(stride_) {
        for (Index phase = 0; phase < stride_; ++phase) {
            const Index corner = phase + axis.pad_before, end = corner / stride_ + 1;
            shifts_.data()[phase] = {end - divided_up(axis.filter - corner % stride_, stride_), end};
        }
        // as much as possible lies at the beginning of a cache line
        margin = rounded_up(larger(-shifts_.data()[0].begin, 0), lanes);
        pitch = margin + rounded_up(larger(OW, width_ + shifts_.data()[stride_ - 1].end - 1), lanes);
    }

    // A row of windows that is gathered from stands between zeros, `margin` of them before it, `pitch` elements in all.
    Index margin, pitch;

    Index line_size() const { return stride_ * width_; }

    // row[x] = the sum of windows[q + shift] over the shifts of x's phase. `line` is scratch memory.
    void gather(const T* windows, T* line, T* row) const {
        const auto sum_of = [&](Index phase, Index q) {
            Vector<T> sum{};
            const Range shifts = shifts_.data()[phase];
            for (Index shift = shifts.end; shift-- > shifts.begin;) sum += load<lanes>(windows + q + shift);
            return sum;
        };
        for (Index q = 0; q < width_; q += lanes) {
            if (stride_ == 1) {
                store<lanes>(line + q, sum_of(0, q));
            } else if (stride_ == 2) {
                store_alternately(line + 2 * q, sum_of(0, q), sum_of(1, q), Counting<lanes>());
            } else {
                for (Index phase = 0; phase < stride_; ++phase) {
                    const Vector<T> sum = sum_of(phase, q);
                    for (Index lane = 0; lane < lanes; ++lane) line[(q + lane) * stride_ + phase] = sum[lane];
                }
            }
        }
        __builtin_memcpy(row, line, W_ * sizeof(T));
    }

private:
    static constexpr int lanes = int(vector_lanes<T>);

    Index W_, stride_, width_;  // width_: of a phase, in whole vectors
    Scratch<Range> shifts_;      // of each phase
};

// Output rows [begin, end) whose windows, taps between theirs included, cover image row y.
inline Range rows_over(const Axis& axis, Index y, Index OH) {
    const Index bottom = y + axis.pad_before, above = larger(bottom - reach(axis), -1);
    const Index begin = smaller((above + axis.stride) / axis.stride, OH);
    return {begin, larger(smaller(bottom / axis.stride + 1, OH), begin)};
}

// Where a tap lies from the upper left corner of its window.
struct TapOffset {
    Index y, x;
};

inline TapOffset tap_offset(const Window& window, Index tap) {
    return {tap / window.w.filter * window.h.dilation, tap % window.w.filter * window.w.dilation};
}

// Each gradient of a plane, the first of them at `at`, is added to the pixel that won. Divisions are slow: a table
// answers for the taps of all but the largest windows.
template <class T, class Argmax>
void scatter_plane(const T* dout, const Argmax& argmax, Index at, T* plane, const Planes& planes,
                   const TapOffset (&table)[256]) {
    const Window window = planes.window;
    const Shape input = planes.input;
    const Extent output = planes.output;
    const Index taps = window.h.filter * window.w.filter;
    fill(plane, input.h * input.w, T(0));
    for (Index oy = 0; oy < output.h; ++oy) {
        const Index top = source(window.h, oy, 0);
        for (Index ox = 0, left = source(window.w, 0, 0); ox < output.w; ++ox, ++at, left += window.w.stride) {
            const Index tap = argmax[at];
            const T gradient = dout[at];
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
    const Index pixels = planes.pixels(), windows = planes.windows(), taps = window.h.filter * window.w.filter;
    if (tiled_by_2x2(planes))
        return tiles_backward(MaximumGradient<T>{dout, static_cast<const std::uint8_t*>(argmax)}, dx, planes);
    TapOffset table[256];
    for (Index tap = 0; tap < 256 && tap < taps; ++tap) table[tap] = tap_offset(window, tap);
    with_taps(argmax, argmax_bytes, [&](const auto& winners) {
        parallel_for(planes.count(), double(pixels + windows), [&](Index item) {
            scatter_plane(dout, winners, item * windows, dx + item * pixels, planes, table);
        });
    });
}

// Average of a whole image, or of one window in it.
template <class T>
void one_window_backward(const T* dout, T* dx, const Planes& planes) {
    const Axis &h = planes.window.h, &w = planes.window.w;
    const Index H = planes.input.h, W = planes.input.w, pixels = planes.pixels();
    const Range rows = taps_inside(h, 0, H), columns = taps_inside(w, 0, W);
    const Index top = source(h, 0, rows.begin), left = source(w, 0, columns.begin);
    const Index width = columns.size();
    const Index averaged = averaged_taps(h, 0, H, planes.count_include_pad) *
                           averaged_taps(w, 0, W, planes.count_include_pad);
    const T weight = T(1) / T(larger(averaged, 1));
    parallel_for(planes.count(), double(pixels), [&](Index item) {
        T* const plane = dx + item * pixels;
        if (width < W || rows.size() < H) fill(plane, pixels, T(0));
        for (Index fy = rows.begin; fy < rows.end; ++fy)
            fill(plane + (top + fy - rows.begin) * W + left, width, dout[item] * weight);
    });
}

template <class T>
void avg_pool2d_backward(const T* dout, T* dx, Shape input, Extent output, Window window, bool count_include_pad) {
    const Planes planes{input, output, window, count_include_pad};
    if (tiled_by_2x2(planes)) return tiles_backward(AverageGradient<T>{dout, T(0.25)}, dx, planes);
    const Index H = input.h, W = input.w, OH = output.h, OW = output.w;
    if (OH * OW == 1) return one_window_backward(dout, dx, planes);
    const Columns<T> columns(window.w, W, OW);
    // A window's weight is 1 / (rows * columns) of the taps it averages.
    const Scratch<T> weights(OH + OW);
    T *const row_weight = weights.data(), *const column_weight = row_weight + OH;
    for (Index oy = 0; oy < OH; ++oy)
        row_weight[oy] = T(1) / T(larger(averaged_taps(window.h, oy, H, count_include_pad), 1));
    for (Index ox = 0; ox < OW; ++ox)
        column_weight[ox] = T(1) / T(larger(averaged_taps(window.w, ox, W, count_include_pad), 1));
    const int parts = threads_for(planes.count(), double(planes.count()) * planes.work());
    const Index part_size = columns.pitch + columns.line_size();
    const Scratch<T> scratch(parts * part_size);
    parallel_ranges(planes.count(), parts, [&](Index begin, Index end, int part) {
        // The windows over an image row, summed up downwards, between zeros
        T *const padded = scratch.data() + part * part_size, *const line = padded + columns.pitch;
        T* const sums = padded + columns.margin;
        __builtin_memset(padded, 0, columns.pitch * sizeof(T));
        for (Index item = begin; item < end; ++item) {
            Range before{-1, -1};  // those over the image row before
            for (Index y = 0; y < H; ++y) {
                T* const row = dx + (item * H + y) * W;
                const Range over = rows_over(window.h, y, OH);
                if (over.begin == before.begin && over.end == before.end) {
                    __builtin_memcpy(row, row - W, W * sizeof(T));
                    continue;
                }
                before = over;
                __builtin_memset(sums, 0, OW * sizeof(T));
                for (Index oy = over.begin; oy < over.end; ++oy) {
                    const T *const gradient = dout + (item * OH + oy) * OW, weight = row_weight[oy];
                    for (Index ox = 0; ox < OW; ++ox) sums[ox] += gradient[ox] * weight;
                }
                for (Index ox = 0; ox < OW; ++ox) sums[ox] *= column_weight[ox];
                columns.gather(sums, line, row);
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
