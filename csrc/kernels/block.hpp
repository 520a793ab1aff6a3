// Convolution, bias, ReLU and max-pooling as one kernel, forward and backward.
//
//   x, dx            (N, C, H, W)
//   W, dW, b, db     as in convolution.hpp
//   y, dout, argmax  (N, FN, PH, PW)   PH = OH / pool.h and PW = OW / pool.w, floored
//
// The pooling windows stand side by side. A pool of 1x1 is none: there is no argmax then. The convolution's output
// (N, FN, OH, OW) never exists as a whole: with 2x2 windows a sum is pooled in the register it was made in
// (convolution_direct.hpp); with others, and where Winograd's algorithm or a depthwise kernel is faster, a few images
// of it exist at a time, as they do of its gradient.
#pragma once

#include "columns.hpp"
#include "convolution_data.hpp"
#include "convolution_weight.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Windows of these sizes, as far apart as they are large.
inline Window pooling_window(Extent pool) { return {{pool.h, pool.h, 1, 0, 0}, {pool.w, pool.w, 1, 0, 0}}; }

constexpr Index most_convolved = 1 << 20;  // numbers of the convolution's output, or its gradient, at a time

// At most as many images as have that many numbers, and about as many every time.
inline Index images_at_a_time(Index images, Index convolved_size) {
    const Index times = divided_up(images, larger(most_convolved / convolved_size, 1));
    return divided_up(images, larger(times, 1));
}

template <class T>
void conv2d_block(const T* x, const T* W, const T* b, T* y, void* argmax, int argmax_bytes, Shape input, Shape filter,
                  Extent output, Window window, Index groups, Extent pool) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, true);
    if (pool.h == 1 && pool.w == 1) return convolve_forward(x, W, b, y, g, s, groups, true);
    const bool has_better = is_depthwise(s, groups) || (s.CG > 1 && winograd_pays<T>(g, s.FG, s.CG, false));
    if (pool.h == 2 && pool.w == 2 && !has_better) {
        const DirectGeometry<T> direct(input, output, window, s.CG, 2);
        if (direct.fits(s.FG))
            return convolve_direct(x, W, b, y, static_cast<std::uint8_t*>(argmax), direct, s, groups, true);
    }
    const Index convolved_size = filter.n * s.P, pooled_size = filter.n * (output.h / pool.h) * (output.w / pool.w);
    const Index images = images_at_a_time(input.n, convolved_size), image_size = input.c * input.h * input.w;
    // Who does not go backward has no room for argmax. A second way of pooling without it would gain little.
    const Scratch<T> convolved(images * convolved_size);
    const Scratch<char> unwanted(argmax ? 0 : images * pooled_size * argmax_bytes);
    for (Index n = 0; n < input.n; n += images) {
        const Shape some{smaller(images, input.n - n), input.c, input.h, input.w};
        char* const winners = argmax ? static_cast<char*>(argmax) + n * pooled_size * argmax_bytes : unwanted.data();
        const Geometry some_g(some, output, window, true);
        convolve_forward(x + n * image_size, W, b, convolved.data(), some_g, s, groups, true);
        max_pool2d(convolved.data(), y + n * pooled_size, winners, argmax_bytes,
                   Shape{some.n, filter.n, output.h, output.w}, Extent{output.h / pool.h, output.w / pool.w},
                   pooling_window(pool));
    }
}

// The gradient of the convolution's output for a number of images: dout where ReLU let the maximum pass, at the
// position that argmax names; zeros elsewhere.
template <class T>
void unpool(const T* y, const T* dout, const void* argmax, int argmax_bytes, T* convolved, Index planes, Extent output,
            Extent pool) {
    const Extent pooled{output.h / pool.h, output.w / pool.w};
    const Index P = output.h * output.w, pooled_P = pooled.h * pooled.w;
    with_taps(argmax, argmax_bytes, [&](const auto& winners) {
        parallel_for(planes, double(P), [&](Index plane) {
            const Index first = plane * pooled_P;
            const T *plane_y = y + first, *gradient = dout + first;
            T* to = convolved + plane * P;
            if (!argmax) {
                pass_relu(plane_y, gradient, to, P);
                return;
            }
            fill(to, P, T(0));
            for (Index py = 0, i = 0; py < pooled.h; ++py)
                for (Index px = 0; px < pooled.w; ++px, ++i) {
                    // whatever the caller's argmax holds
                    const Index tap = smaller(winners[first + i], pool.h * pool.w - 1);
                    const Index row = py * pool.h + tap / pool.w, column = px * pool.w + tap % pool.w;
                    to[row * output.w + column] = plane_y[i] <= 0 ? T(0) : gradient[i];
                }
        });
    });
}

// For every filter: dW (filters, vectors) += the sum over `count` pooled numbers of their gradients times the rows of
// col that won: of a pooling window's `taps` rows, one behind the other. A filter's pooled numbers lie `plane` behind
// those of the filter before.
template <class T, int vectors>
void add_winning_rows(const T* gradient, const std::uint8_t* winner, Index filters, Index plane, Index count,
                      const T* col, Index taps, T* dW) {
    constexpr Index KP = vectors * vector_lanes<T>;
    for (Index f = 0; f < filters; ++f, gradient += plane, winner += plane, dW += KP) {
        Vector<T> sum[2][vectors];  // two, that do not wait for each other
        repeat<vectors>([&](auto v) { sum[0][v.value] = sum[1][v.value] = Vector<T>{}; });
        const auto add = [&](int which, Index i) __attribute__((always_inline)) {
            const Index row = i * taps + smaller(winner[i], taps - 1);  // whatever the caller's argmax holds
            const Vector<T>* of = reinterpret_cast<const Vector<T>*>(col + row * KP);
            repeat<vectors>([&](auto v) { sum[which][v.value] += gradient[i] * of[v.value]; });
        };
        Index i = 0;
        for (; i + 2 <= count; i += 2) add(0, i), add(1, i + 1);
        if (i < count) add(0, i);
        Vector<T>* to = reinterpret_cast<Vector<T>*>(dW);
        repeat<vectors>([&](auto v) { to[v.value] += sum[0][v.value] + sum[1][v.value]; });
    }
}

constexpr Index most_col_bytes = 24 << 10;  // leaves the rest of a first-level cache to what is multiplied with them

// What a pooled block gives back to its weights, where no dx is asked for, one row of the column matrix is 1 to 4
// vectors, and windows of up to 7 taps side by side lie 1 apart. Of a pooling window one pixel has a gradient, so dW is
// a sum of rows of col, one per pooled number:
//
//   dW[f] += gradient[f][i] * col[position of i's maximum]
//
// which takes a pool.h * pool.w-th of the work. Here col, for once, is written down: for a few rows of pooling windows
// at a time, window by window.
template <class T>
void pooled_weight_gradient(const T* x, const T* y, const T* dout, const std::uint8_t* argmax, T* dW, T* db,
                            const Geometry& g, Index filters, Extent pool) {
    constexpr Index L = vector_lanes<T>;
    const Index C = g.input.c, FH = g.window.h.filter, FW = g.window.w.filter;
    const Index P = g.output.h * g.output.w, K = C * g.taps, taps = pool.h * pool.w;
    const Index KP = rounded_up(K, L);  // a row of col, filled up to whole vectors
    const Extent pooled{g.output.h / pool.h, g.output.w / pool.w};
    const Index pooled_P = pooled.h * pooled.w;
    const Index row_size = pooled.w * taps * KP;  // of col under a row of pooling windows
    const Index rows = smaller(larger(most_col_bytes / (row_size * Index(sizeof(T))), 1), pooled.h);
    const Index line_step = g.lines_size(rows * pool.h), lines_size = C * line_step + L;
    const Index sums = rounded_up(filters * (KP + 1), L), col_size = rows * row_size;
    const Index part_size = rounded_up(sums + col_size + lines_size + filters * pooled_P, 64 / Index(sizeof(T)));
    const int parts = threads_for(g.input.n, double(g.input.n * P) * double(K));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> starts(C * FH);
    for (Index i = 0; i < C * FH; ++i) starts.data()[i] = i / FH * line_step + i % FH * g.window.h.dilation * g.pitch;
    // A row's last taps may run on into what fills it up, never into the next row.
    const auto copy_windows = K - FW + covering(int(FW)) <= KP ? made_for<CopyWindows<T, true>>(g.window.w)
                                                               : made_for<CopyWindows<T, false>>(g.window.w);
    auto add_winners = add_winning_rows<T, 1>;
    with_constant<4>(KP / L, [&](auto vectors) { add_winners = add_winning_rows<T, vectors.value>; });

    run_each(parts, [&](int part) {
        T* const part_dW = scratch.data() + part * part_size;
        T* const part_db = part_dW + filters * KP;
        T* const col = part_dW + sums;
        T* const lines = col + col_size;
        T* const passed = lines + lines_size;  // the gradient of an image's maxima that ReLU let pass
        fill(part_dW, sums, T(0));
        fill(col, col_size + lines_size, T(0));
        const Range images = share(g.input.n, parts, part);
        for (Index n = images.begin; n < images.end; ++n) {
            const Index at = n * filters * pooled_P;
            pass_relu(y + at, dout + at, passed, filters * pooled_P);
            for (Index f = 0; f < filters; ++f) part_db[f] += sum(passed + f * pooled_P, pooled_P);
            for (Index py = 0; py < pooled.h; py += rows) {
                const Index count = smaller(rows, pooled.h - py), row = n * g.output.h + py * pool.h;
                copy_lines(g, x, {0, C}, {row, row + count * pool.h}, lines, line_step, true);
                for (Index oy = 0; oy < count * pool.h; ++oy)
                    for (Index wx = 0; wx < pool.w; ++wx) {
                        const Index tap = oy % pool.h * pool.w + wx;
                        copy_windows(lines + oy * g.window.h.stride * g.pitch + wx, pool.w, pooled.w, starts.data(),
                                     C * FH, col + oy / pool.h * row_size + tap * KP, taps * KP);
                    }
                add_winners(passed + py * pooled.w, argmax + at + py * pooled.w, filters, pooled_P, count * pooled.w,
                            col, taps, part_dW);
            }
        }
    });
    for (Index f = 0; f < filters; ++f)
        for (Index k = 0; k <= K; ++k) {
            const Index from = k < K ? f * KP + k : filters * KP + f;
            (k < K ? dW[f * K + k] : db[f]) = sum_of_parts(scratch.data() + from, part_size, parts);
        }
}

template <class T>
void conv2d_block_backward(const T* x, const T* W, const T* y, const T* dout, const void* argmax, int argmax_bytes,
                           T* dx, T* dW, T* db, Shape input, Shape filter, Extent output, Window window, Index groups,
                           Extent pool) {
    const Sizes s(filter, output, groups);
    const Index pooled_size = filter.n * (output.h / pool.h) * (output.w / pool.w);
    const Index image_size = input.c * input.h * input.w;
    const bool may_copy = window.w.stride == 1 && made_for<CopyWindows<T, true>>(window.w);
    if (!small_rather_than_fast && argmax && argmax_bytes == 1 && !dx && groups == 1 && may_copy &&
        s.K <= 4 * vector_lanes<T>) {
        const Geometry g(input, output, window, false);
        return pooled_weight_gradient(x, y, dout, static_cast<const std::uint8_t*>(argmax), dW, db, g, filter.n, pool);
    }
    const Index convolved_size = filter.n * s.P, weights = filter.n * s.K;
    const Index images = images_at_a_time(input.n, convolved_size);
    const Scratch<T> scratch(images * convolved_size + weights + filter.n);
    T* const convolved = scratch.data();
    T* const some_dW = convolved + images * convolved_size;
    T* const some_db = some_dW + weights;
    fill(dW, weights, T(0));
    fill(db, filter.n, T(0));
    for (Index n = 0; n < input.n; n += images) {
        const Index count = smaller(images, input.n - n);
        const Shape some{count, input.c, input.h, input.w};
        const Index at = n * pooled_size;
        const void* winners = argmax ? static_cast<const char*>(argmax) + at * argmax_bytes : nullptr;
        unpool(y + at, dout + at, winners, argmax_bytes, convolved, count * filter.n, output, pool);
        if (dx) conv2d_backward_data(convolved, W, dx + n * image_size, some, filter, output, window, groups);
        conv2d_backward_weight(x + n * image_size, convolved, some_dW, some_db, some, filter, output, window, groups);
        for (Index i = 0; i < weights; ++i) dW[i] += some_dW[i];
        for (Index f = 0; f < filter.n; ++f) db[f] += some_db[f];
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
