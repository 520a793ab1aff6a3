// ReLU and the steps of the optimizers: one pass over memory, each element on its own.
//
//   x, y, dout, dx        (size)  an array of any shape, taken as one row of numbers
//   param, grad, v, h, m  (size)  likewise; param and what its optimizer remembers of it change in place
//
// No two arrays of a call overlap.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Keeps AdaGrad, RMSprop and Adam from dividing by zero; the book's number.
constexpr double epsilon = 1e-7;

inline float square_root(float value) { return __builtin_sqrtf(value); }
inline double square_root(double value) { return __builtin_sqrt(value); }

// Calls each(i) for every element i, on all threads.
template <class Each>
void for_each_element(Index size, const Each& each) {
    constexpr Index block = 1024;  // whole cache lines, so that threads do not write to one and the same
    const Index blocks = (size + block - 1) / block;
    parallel_ranges(blocks, threads_for(blocks, double(size)), [&](Index begin, Index end, int) {
        const Each local = each;  // what it captured stays in registers: no store of the loop can change a copy
        const Index last = end < blocks ? end * block : size;
        for (Index i = begin * block; i < last; ++i) local(i);
    });
}

// Not a maximum: a NaN stays a NaN.
template <class T>
void relu(const T* x, T* y, Index size) {
    for_each_element(size, [=](Index i) { y[i] = x[i] <= 0 ? T(0) : x[i]; });
}

// y is 0 exactly where x was not above 0.
template <class T>
void relu_backward(const T* dout, const T* y, T* dx, Index size) {
    for_each_element(size, [=](Index i) { dx[i] = y[i] <= 0 ? T(0) : dout[i]; });
}

template <class T>
void sgd_step(T* param, const T* grad, Index size, double lr) {
    const T rate = T(lr);
    for_each_element(size, [=](Index i) { param[i] -= rate * grad[i]; });
}

template <class T>
void momentum_step(T* param, const T* grad, T* v, Index size, double lr, double momentum) {
    const T rate = T(lr), kept = T(momentum);
    for_each_element(size, [=](Index i) {
        const T velocity = kept * v[i] - rate * grad[i];
        v[i] = velocity;
        param[i] += velocity;
    });
}

template <class T>
void nesterov_step(T* param, const T* grad, T* v, Index size, double lr, double momentum) {
    const T rate = T(lr), kept = T(momentum);
    for_each_element(size, [=](Index i) {
        const T change = rate * grad[i];
        const T velocity = kept * v[i] - change;
        v[i] = velocity;
        param[i] += kept * velocity - change;
    });
}

template <class T>
void adagrad_step(T* param, const T* grad, T* h, Index size, double lr) {
    const T rate = T(lr);
    for_each_element(size, [=](Index i) {
        const T sum = h[i] + grad[i] * grad[i];
        h[i] = sum;
        param[i] -= rate * grad[i] / (square_root(sum) + T(epsilon));
    });
}

template <class T>
void rmsprop_step(T* param, const T* grad, T* h, Index size, double lr, double decay_rate) {
    const T rate = T(lr), kept = T(decay_rate), added = T(1 - decay_rate);
    for_each_element(size, [=](Index i) {
        const T mean = kept * h[i] + added * grad[i] * grad[i];
        h[i] = mean;
        param[i] -= rate * grad[i] / (square_root(mean) + T(epsilon));
    });
}

template <class T>
void adam_step(T* param, const T* grad, T* m, T* v, Index size, double lr, double beta1, double beta2) {
    const T rate = T(lr), added1 = T(1 - beta1), added2 = T(1 - beta2);
    for_each_element(size, [=](Index i) {
        const T mean = m[i] + added1 * (grad[i] - m[i]);
        const T square = v[i] + added2 * (grad[i] * grad[i] - v[i]);
        m[i] = mean;
        v[i] = square;
        param[i] -= rate * mean / (square_root(square) + T(epsilon));
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
