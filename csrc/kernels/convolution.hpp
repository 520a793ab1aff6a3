// Convolution forward, and backward with respect to data and to weights.
//
//   x, dx    (N, C, H, W)                 C = groups * CG
//   W, dW    (FN, CG, FH, FW)             FN = groups * FG;  K = CG*FH*FW
//   b, db    (FN)
//   y, dout  (N, FN, OH, OW)              P = OH*OW
//
// For one image and one group, with col the (P, K) column matrix of that group's channels:
//
//   forward          y (FG, P)  = W (FG, K) col^T + b
//   backward_data    dcol^T (K, P) = W^T dout,  and dx = col2im(dcol)
//   backward_weight  dW (FG, K) = dout (FG, P) col
//
// col itself is never written: ImageColumns fills the panels of the matrix product straight from the image.
#pragma once

#include "gemm.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Visits column k = (c, fy, fx) of an image's column matrix over rows [begin, end), in runs on one image row:
// inside(p, count, pixel, step) where taps fall on the image, outside(p, count) where they fall on padding.
template <class Inside, class Outside>
void walk_column(Shape input, Extent output, const Window& window, Index k, Index begin, Index end,
                 const Inside& inside, const Outside& outside) {
    const Index fx = k % window.w.filter, fy = k / window.w.filter % window.h.filter;
    const Index c = k / window.w.filter / window.h.filter;
    // ox in [first, last) reads inside the row: source(ox, fx) = ox * stride + offset
    const Index stride = window.w.stride, offset = source(window.w, 0, fx);
    const Index first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    const Index last = offset >= input.w ? 0 : (input.w - offset + stride - 1) / stride;
    for (Index p = begin; p < end;) {
        const Index oy = p / output.w, row_start = oy * output.w;
        const Index row_end = smaller(row_start + output.w, end);
        const Index y = source(window.h, oy, fy);
        const bool row_inside = y >= 0 && y < input.h;
        const Index from = row_inside ? smaller(first < p - row_start ? p : row_start + first, row_end) : row_end;
        const Index to = row_inside && row_start + last > from ? smaller(row_start + last, row_end) : from;
        if (from > p) outside(p, from - p);
        if (to > from) inside(from, to - from, (c * input.h + y) * input.w + (from - row_start) * stride + offset, stride);
        if (row_end > to) outside(to, row_end - to);
        p = row_end;
    }
}

// The column matrix of one image (one group's channels, at `image`) as an operand of gemm.
template <class T>
struct ImageColumns {
    const T* image;
    Shape input;
    Extent output;
    const Window& window;

    // to[(p - begin) * step] = col[p][k] for p in [begin, end)
    void gather(Index k, Index begin, Index end, T* to, Index to_step) const {
        walk_column(
            input, output, window, k, begin, end,
            [&](Index p, Index count, Index pixel, Index step) {
                T* into = to + (p - begin) * to_step;
                for (Index i = 0; i < count; ++i) into[i * to_step] = image[pixel + i * step];
            },
            [&](Index p, Index count) {
                T* into = to + (p - begin) * to_step;
                for (Index i = 0; i < count; ++i) into[i * to_step] = 0;
            });
    }
};

// A lane is a position p, depth runs over taps k: the right-hand side of the forward product.
template <class T>
struct ByPosition : ImageColumns<T> {
    void pack(Index p, Index lanes, Index k, Index depth, T* panel, Index width) const {
        for (Index j = 0; j < depth; ++j) this->gather(k + j, p, p + lanes, panel + j * width, 1);
    }
};

// A lane is a tap k, depth runs over positions p: the right-hand side of dW = dout col.
template <class T>
struct ByTap : ImageColumns<T> {
    void pack(Index k, Index lanes, Index p, Index depth, T* panel, Index width) const {
        for (Index i = 0; i < lanes; ++i) this->gather(k + i, p, p + depth, panel + i, width);
    }
};

// Sizes of one convolution, named as at the head of this file.
struct Sizes {
    Index FG, CG, K, P;
    Sizes(Shape filter, Extent output, Index groups)
        : FG(filter.n / groups), CG(filter.c), K(filter.c * filter.h * filter.w), P(output.h * output.w) {}
};

template <class T>
void conv2d(const T* x, const T* W, const T* b, T* y, Shape input, Shape filter, Extent output, Window window,
            Index groups) {
    const Sizes s(filter, output, groups);
    // An item is a strip of positions of one group of one image: enough of them to share, each worth packing for.
    const Index strip = block_n<T>, strips = (s.P + strip - 1) / strip;
    const Index items = input.n * groups * strips;
    const int parts = threads_for(items, double(input.n * groups) * double(s.FG * s.K) * double(s.P));
    const Scratch<T> scratch(parts * gemm_scratch<T>);
    parallel_ranges(items, parts, [&](Index begin, Index end, int part) {
        for (Index item = begin; item < end; ++item) {
            const Index image_group = item / strips, g = image_group % groups;
            const Range positions{item % strips * strip, smaller(s.P, (item % strips + 1) * strip)};
            T* out = y + image_group * s.FG * s.P;
            for (Index f = 0; f < s.FG; ++f)
                fill(out + f * s.P + positions.begin, positions.end - positions.begin, b ? b[g * s.FG + f] : T(0));
            const Matrix<T> weights{W + g * s.FG * s.K, s.K, 1};
            const ByPosition<T> columns{{x + image_group * s.CG * input.h * input.w, input, output, window}};
            gemm({0, s.FG}, positions, s.K, weights, columns, out, s.P, scratch.data() + part * gemm_scratch<T>);
        }
    });
}

template <class T>
void conv2d_backward_data(const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output, Window window,
                          Index groups) {
    const Sizes s(filter, output, groups);
    const Index taps = filter.h * filter.w, plane = input.h * input.w;
    // An item is a few channels of one image: their taps fill tiles, and no other thread adds to their pixels.
    const Index channels = smaller(s.CG, (4 * tile_rows + taps - 1) / taps), blocks = (s.CG + channels - 1) / channels;
    const Index items = input.n * groups * blocks, strip = block_n<T>;
    const int parts = threads_for(items, double(input.n * groups) * double(s.FG * s.K) * double(s.P));
    const Index per_thread = gemm_scratch<T> + channels * taps * strip;
    const Scratch<T> scratch(parts * per_thread);
    parallel_ranges(items, parts, [&](Index begin, Index end, int part) {
        T* const packing = scratch.data() + part * per_thread;
        T* const dcol = packing + gemm_scratch<T>;  // (taps of the item's channels, strip)
        for (Index item = begin; item < end; ++item) {
            const Index image_group = item / blocks, g = image_group % groups;
            const Index c = item % blocks * channels, rows = smaller(channels, s.CG - c) * taps;
            T* const image = dx + (image_group * s.CG + c) * plane;
            fill(image, rows / taps * plane, T(0));
            const Matrix<T> weights{W + g * s.FG * s.K + c * taps, 1, s.K};
            for (Index p = 0; p < s.P; p += strip) {
                const Index width = smaller(strip, s.P - p);
                fill(dcol, rows * strip, T(0));
                const Matrix<T> gradient{dout + image_group * s.FG * s.P + p, 1, s.P};
                gemm({0, rows}, {0, width}, s.FG, weights, gradient, dcol, strip, packing);
                for (Index k = 0; k < rows; ++k)
                    walk_column(
                        input, output, window, k, p, p + width,
                        [&](Index at, Index count, Index pixel, Index step) {
                            const T* from = dcol + k * strip + (at - p);
                            for (Index i = 0; i < count; ++i) image[pixel + i * step] += from[i];
                        },
                        [](Index, Index) {});
            }
        }
    });
}

// sum of a[0..count) in vector_lanes partial sums, added up in order
template <class T>
T sum(const T* a, Index count) {
    T partial[vector_lanes<T>] = {};
    Index i = 0;
    for (; i + vector_lanes<T> <= count; i += vector_lanes<T>)
        for (Index lane = 0; lane < vector_lanes<T>; ++lane) partial[lane] += a[i + lane];
    T total = 0;
    for (; i < count; ++i) total += a[i];
    for (Index lane = 0; lane < vector_lanes<T>; ++lane) total += partial[lane];
    return total;
}

template <class T>
void conv2d_backward_weight(const T* x, const T* dout, T* dW, T* db, Shape input, Shape filter, Extent output,
                            Window window, Index groups) {
    const Sizes s(filter, output, groups);
    const Index weights = filter.n * s.K, gradients = weights + filter.n;
    const int parts = threads_for(input.n, double(input.n) * double(filter.n * s.K) * double(s.P));
    // Each part of the batch sums into a dW and db of its own; they are added up in order afterwards.
    const Scratch<T> scratch(parts * (gradients + gemm_scratch<T>));
    T* const packing = scratch.data() + parts * gradients;
    parallel_ranges(input.n, parts, [&](Index begin, Index end, int part) {
        T* const part_dW = scratch.data() + part * gradients;
        T* const part_db = part_dW + weights;
        fill(part_dW, gradients, T(0));
        for (Index n = begin; n < end; ++n) {
            const T* gradient = dout + n * filter.n * s.P;
            for (Index f = 0; f < filter.n; ++f) part_db[f] += sum(gradient + f * s.P, s.P);
            for (Index g = 0; g < groups; ++g) {
                const Matrix<T> group_gradient{gradient + g * s.FG * s.P, s.P, 1};
                const ByTap<T> columns{{x + (n * groups + g) * s.CG * input.h * input.w, input, output, window}};
                gemm({0, s.FG}, {0, s.K}, s.P, group_gradient, columns, part_dW + g * s.FG * s.K, s.K,
                     packing + part * gemm_scratch<T>);
            }
        }
    });
    for (Index i = 0; i < gradients; ++i) {
        T total = scratch.data()[i];
        for (int part = 1; part < parts; ++part) total += scratch.data()[part * gradients + i];
        (i < weights ? dW[i] : db[i - weights]) = total;
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
