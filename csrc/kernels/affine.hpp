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

// c (M, N) += A B on all threads, each taking a strip of c's longer side.
template <class T>
void parallel_gemm(Index M, Index N, Index K, const Matrix<T>& a, const Matrix<T>& b, T* c) {
    const bool by_rows = M > N;
    const Index strip = by_rows ? tile_rows : tile_columns<T>, side = by_rows ? M : N;
    const Index strips = (side + strip - 1) / strip;
    const int parts = threads_for(strips, double(M) * double(N) * double(K));
    const Scratch<T> scratch(parts * gemm_scratch<T>);
    parallel_ranges(strips, parts, [&](Index begin, Index end, int part) {
        const Range mine{begin * strip, smaller(side, end * strip)};
        gemm(by_rows ? mine : Range{0, M}, by_rows ? Range{0, N} : mine, K, a, b, c, N,
             scratch.data() + part * gemm_scratch<T>);
    });
}

template <class T>
void affine(const T* x, const T* W, const T* b, T* y, Index rows, Index inputs, Index outputs,
            bool relu) {
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < outputs; ++j) y[i * outputs + j] = b ? b[j] : T(0);
    parallel_gemm(rows, outputs, inputs, Matrix<T>{x, inputs, 1}, Matrix<T>{W, 1, outputs}, y);
    if (relu)
        for (Index i = 0; i < rows * outputs; ++i) y[i] = y[i] <= 0 ? T(0) : y[i];
}

template <class T>
void affine_backward(const T* x, const T* dout, const T* W, const T* y, T* dx, T* dW, T* db, Index rows,
                     Index inputs, Index outputs) {
    const Scratch<T> passed(y ? rows * outputs : 0);  // dout where ReLU let it pass
    if (y) {
        for (Index i = 0; i < rows * outputs; ++i) passed.data()[i] = y[i] <= 0 ? T(0) : dout[i];
        dout = passed.data();
    }
    fill(dW, inputs * outputs, T(0));
    fill(db, outputs, T(0));
    if (dx) {
        fill(dx, rows * inputs, T(0));
        parallel_gemm(rows, inputs, outputs, Matrix<T>{dout, outputs, 1}, Matrix<T>{W, outputs, 1}, dx);
    }
    parallel_gemm(inputs, outputs, rows, Matrix<T>{x, 1, inputs}, Matrix<T>{dout, 1, outputs}, dW);
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < outputs; ++j) db[j] += dout[i * outputs + j];
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
