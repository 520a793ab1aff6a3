// The list of kernels, once. Signatures, the table of each instruction set, the names that Python sees and
// the tests that hold every kernel against its NumPy twin are all read off PYCONV_KERNELS.
//
// A kernel takes raw pointers to C-contiguous arrays, their shapes, and the window. It checks nothing and
// allocates nothing that a caller sees: csrc/bindings/ has checked and allocated before.
#pragma once

#include "window.hpp"

namespace pyconv {

// KERNEL(name, parameters), T being float or double. Shapes of every buffer: first comment of each kernel file.
// `argmax` points to unsigned integers of `argmax_bytes` bytes. These may be null: `b`; in conv2d_block, `argmax`
// that nobody wants; in gradients, `dx` that nobody wants, and affine's `y` where no ReLU followed it.
#define PYCONV_KERNELS(KERNEL)                                                                                   \
    KERNEL(im2col, (const T* x, T* col, Shape input, Extent output, Window window))                              \
    KERNEL(col2im, (const T* col, T* dx, Shape input, Extent output, Window window))                             \
    KERNEL(max_pool2d,                                                                                           \
           (const T* x, T* y, void* argmax, int argmax_bytes, Shape input, Extent output, Window window))        \
    KERNEL(max_pool2d_backward, (const T* dout, const void* argmax, int argmax_bytes, T* dx, Shape input,        \
                                 Extent output, Window window))                                                  \
    KERNEL(avg_pool2d,                                                                                           \
           (const T* x, T* y, Shape input, Extent output, Window window, bool count_include_pad))                \
    KERNEL(avg_pool2d_backward,                                                                                  \
           (const T* dout, T* dx, Shape input, Extent output, Window window, bool count_include_pad))            \
    KERNEL(conv2d, (const T* x, const T* W, const T* b, T* y, Shape input, Shape filter, Extent output,          \
                    Window window, Index groups))                                                                \
    KERNEL(conv2d_backward_data, (const T* dout, const T* W, T* dx, Shape input, Shape filter, Extent output,    \
                                  Window window, Index groups))                                                  \
    KERNEL(conv2d_backward_weight, (const T* x, const T* dout, T* dW, T* db, Shape input, Shape filter,          \
                                    Extent output, Window window, Index groups))                                 \
    KERNEL(conv2d_block, (const T* x, const T* W, const T* b, T* y, void* argmax, int argmax_bytes, Shape input, \
                          Shape filter, Extent output, Window window, Index groups, Extent pool))                \
    KERNEL(conv2d_block_backward,                                                                                \
           (const T* x, const T* W, const T* y, const T* dout, const void* argmax, int argmax_bytes, T* dx,      \
            T* dW, T* db, Shape input, Shape filter, Extent output, Window window, Index groups, Extent pool))   \
    KERNEL(affine, (const T* x, const T* W, const T* b, T* y, Index rows, Index inputs, Index outputs,           \
                    bool relu))                                                                                  \
    KERNEL(affine_backward, (const T* x, const T* dout, const T* W, const T* y, T* dx, T* dW, T* db, Index rows, \
                             Index inputs, Index outputs))                                                           \
    KERNEL(relu, (const T* x, T* y, Index size))                                                                 \
    KERNEL(relu_backward, (const T* dout, const T* y, T* dx, Index size))                                        \
    KERNEL(sgd_step, (T* param, const T* grad, Index size, double lr))                                           \
    KERNEL(momentum_step, (T* param, const T* grad, T* v, Index size, double lr, double momentum))               \
    KERNEL(nesterov_step, (T* param, const T* grad, T* v, Index size, double lr, double momentum))               \
    KERNEL(adagrad_step, (T* param, const T* grad, T* h, Index size, double lr))                                 \
    KERNEL(rmsprop_step, (T* param, const T* grad, T* h, Index size, double lr, double decay_rate))              \
    KERNEL(adam_step, (T* param, const T* grad, T* m, T* v, Index size, double lr, double beta1, double beta2))

template <class T>
struct Kernels {
#define PYCONV_POINTER(name, parameters) void(*name) parameters;
    PYCONV_KERNELS(PYCONV_POINTER)
#undef PYCONV_POINTER
};

// What the profiler measures the CPU by (kernels/peak.hpp).
struct Peaks {
    Index (*multiply_adds)(Index steps, int threads, float* sums);
    void (*copy)(const float* source, float* target, Index count, int threads);
};

// What one instruction set's source file exports.
struct Table {
    const char* isa;
    Kernels<float> f32;
    Kernels<double> f64;
    Peaks peaks;
};

namespace baseline { extern const Table table; }
namespace avx2 { extern const Table table; }
namespace avx512 { extern const Table table; }

}  // namespace pyconv
