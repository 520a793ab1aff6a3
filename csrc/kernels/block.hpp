// Convolution, bias, ReLU and max-pooling as one kernel, forward and backward.
//
//   x, dx            (N, C, H, W)
//   W, dW, b, db     as in convolution.hpp
//   y, dout, argmax  (N, FN, PH, PW)   PH = OH / pool.h and PW = OW / pool.w, floored
//
// The pooling windows stand side by side. A pool of 1x1 is none: there is no argmax then. Of the convolution's
// output (FN, OH, OW), and of its gradient, only one image's exists at a time.
#pragma once

#include "convolution.hpp"
#include "pooling.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Windows of these sizes, as far apart as they are large.
inline Window pooling_window(Extent pool) { return {{pool.h, pool.h, 1, 0, 0}, {pool.w, pool.w, 1, 0, 0}}; }

template <class T>
void conv2d_block(const T* x, const T* W, const T* b, T* y, void* argmax, int argmax_bytes, Shape input, Shape filter,
                  Extent output, Window window, Index groups, Extent pool) {
    const bool pools = pool.h > 1 || pool.w > 1;
    const Extent pooled{output.h / pool.h, output.w / pool.w};
    const Index image_size = input.c * input.h * input.w, convolved_size = filter.n * output.h * output.w;
    const Index pooled_size = filter.n * pooled.h * pooled.w;
    const Scratch<T> scratch(pools ? convolved_size : 0);
    const Scratch<char> unwanted_argmax(pools && !argmax ? pooled_size * argmax_bytes : 0);
    for (Index n = 0; n < input.n; ++n) {
        T* const out = y + n * pooled_size;
        T* const convolved = pools ? scratch.data() : out;
        conv2d(x + n * image_size, W, b, convolved, {1, input.c, input.h, input.w}, filter, output, window, groups);
        for (Index i = 0; i < convolved_size; ++i) convolved[i] = convolved[i] <= 0 ? T(0) : convolved[i];
        if (!pools) continue;
        char* const winners =
            argmax ? static_cast<char*>(argmax) + n * pooled_size * argmax_bytes : unwanted_argmax.data();
        max_pool2d(convolved, out, static_cast<void*>(winners), argmax_bytes, {1, filter.n, output.h, output.w},
                   pooled, pooling_window(pool));
    }
}

template <class T>
void conv2d_block_backward(const T* x, const T* W, const T* y, const T* dout, const void* argmax, int argmax_bytes,
                           T* dx, T* dW, T* db, Shape input, Shape filter, Extent output, Window window, Index groups,
                           Extent pool) {
    const bool pools = pool.h > 1 || pool.w > 1;
    const Extent pooled{output.h / pool.h, output.w / pool.w};
    const Index image_size = input.c * input.h * input.w, convolved_size = filter.n * output.h * output.w;
    const Index pooled_size = filter.n * pooled.h * pooled.w, weights = filter.n * filter.c * filter.h * filter.w;
    const Shape image{1, input.c, input.h, input.w};
    // gradients of one image: of the pooled output past ReLU, of the convolution's output, of W and of b
    const Scratch<T> scratch(pooled_size + (pools ? convolved_size : 0) + weights + filter.n);
    T* const passed = scratch.data();
    T* const convolved = pools ? passed + pooled_size : passed;
    T* const image_dW = convolved + convolved_size;
    T* const image_db = image_dW + weights;
    fill(dW, weights, T(0));
    fill(db, filter.n, T(0));
    for (Index n = 0; n < input.n; ++n) {
        const Index first = n * pooled_size;
        // A window's maximum is its ReLU's: where it is 0, no pixel of the window has a gradient.
        for (Index i = 0; i < pooled_size; ++i) passed[i] = y[first + i] <= 0 ? T(0) : dout[first + i];
        if (pools)
            max_pool2d_backward(passed, static_cast<const char*>(argmax) + first * argmax_bytes, argmax_bytes,
                                convolved, {1, filter.n, output.h, output.w}, pooled, pooling_window(pool));
        if (dx) conv2d_backward_data(convolved, W, dx + n * image_size, image, filter, output, window, groups);
        conv2d_backward_weight(x + n * image_size, convolved, image_dW, image_db, image, filter, output, window, groups);
        for (Index i = 0; i < weights; ++i) dW[i] += image_dW[i];
        for (Index f = 0; f < filter.n; ++f) db[f] += image_db[f];
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
