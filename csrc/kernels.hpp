// The list of kernels, once. Signatures, the table of each instruction set, the names that Python sees and
// the tests that hold every kernel against its NumPy twin are all read off PYCONV_KERNELS.
//
// A kernel takes raw pointers to C-contiguous arrays, their shapes, and the window. It checks nothing and
// allocates nothing that a caller sees: bindings.cpp has checked and allocated before.
#pragma once

#include "window.hpp"

namespace pyconv {

// KERNEL(name, parameters), T being float or double. Shapes of every buffer: first comment of each kernel file.
// `argmax` points to unsigned integers of `argmax_bytes` bytes; `b` may be null.
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
    KERNEL(affine, (const T* x, const T* W, const T* b, T* y, Index rows, Index inputs, Index outputs))          \
    KERNEL(affine_backward, (const T* x, const T* dout, const T* W, T* dx, T* dW, T* db, Index rows,             \
                             Index inputs, Index outputs))

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
