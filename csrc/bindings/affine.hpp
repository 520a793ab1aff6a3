// The product of rows and weights: check, allocate, run.
#pragma once

#include "arrays.hpp"

namespace pyconv::bindings {

template <class T>
Array<T> affine(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b, bool relu) {
    Index inputs = 1;  // of a sample of any shape
    for (Index axis = 1; axis < x.ndim(); ++axis) inputs *= x.shape(axis);
    require(x.ndim() >= 2 && W.ndim() == 2 && inputs == W.shape(0), "x (N, ...) and W (D, M) do not fit together");
    require(!b || (b->ndim() == 1 && b->shape(0) == W.shape(1)), "b must have one entry per column of W");
    Array<T> y = allocate<T>({x.shape(0), W.shape(1)});
    run(kernels<T>().affine, elements(x), elements(W), b ? elements(*b) : nullptr, y.mutable_data(), x.shape(0),
        inputs, W.shape(1), relu);
    return y;
}

template <class T>
py::tuple affine_backward(const Array<T>& x, const Array<T>& dout, const Array<T>& W,
                          const std::optional<Array<T>>& y, bool need_dx) {
    require(x.ndim() == 2 && dout.ndim() == 2 && W.ndim() == 2 && x.shape(0) == dout.shape(0) &&
                x.shape(1) == W.shape(0) && dout.shape(1) == W.shape(1),
            "x (N, D), dout (N, M) and W (D, M) do not fit together");
    require(!y || (y->ndim() == 2 && y->shape(0) == dout.shape(0) && y->shape(1) == dout.shape(1)),
            "y and dout differ in shape");
    std::optional<Array<T>> dx;
    if (need_dx) dx = allocate<T>({x.shape(0), x.shape(1)});
    Array<T> dW = allocate<T>({W.shape(0), W.shape(1)}), db = allocate<T>({W.shape(1)});
    run(kernels<T>().affine_backward, elements(x), elements(dout), elements(W), y ? elements(*y) : nullptr,
        dx ? dx->mutable_data() : nullptr, dW.mutable_data(), db.mutable_data(), x.shape(0), x.shape(1), W.shape(1));
    return py::make_tuple(dx, dW, db);
}

}  // namespace pyconv::bindings
