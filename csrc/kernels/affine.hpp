// The fully connected layer, forward and backward.
//
//   x, dx    (rows, inputs)
//   W, dW    (inputs, outputs)
//   b, db    (outputs)
//   y, dout  (rows, outputs)   y: past the ReLU, where there is one
#pragma once

#include "gemm.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

template <class T>
void affine(const T* x, const T* W, const T* b, T* y, Index rows, Index inputs, Index outputs, bool relu) {
    parallel_gemm(rows, outputs, inputs, Matrix<T>{x, inputs, 1}, Matrix<T>{W, outputs, 1}, y);
    for (Index i = 0; b && i < rows; ++i)
        for (Index j = 0; j < outputs; ++j) y[i * outputs + j] += b[j];
    if (relu) pass_relu(y, y, y, rows * outputs);
}

template <class T>
void affine_backward(const T* x, const T* dout, const T* W, const T* y, T* dx, T* dW, T* db, Index rows, Index inputs,
                     Index outputs) {
    const Scratch<T> passed(y ? rows * outputs : 0);
    if (y) {
        pass_relu(y, dout, passed.data(), rows * outputs);
        dout = passed.data();
    }
    if (dx) parallel_gemm(rows, inputs, outputs, Matrix<T>{dout, outputs, 1}, Matrix<T>{W, 1, outputs}, dx);
    parallel_gemm(inputs, outputs, rows, Matrix<T>{x, 1, inputs}, Matrix<T>{dout, outputs, 1}, dW);
    fill(db, outputs, T(0));
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < outputs; ++j) db[j] += dout[i * outputs + j];
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
