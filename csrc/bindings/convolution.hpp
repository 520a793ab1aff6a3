// Convolution, and its block with ReLU and max-pooling: check, allocate, run.
#pragma once

#include "arrays.hpp"
#include "pooling.hpp"

namespace pyconv::bindings {

// Checks that filters fit the images and the window; answers the extent of the convolution's output.
inline Extent convolved_extent(const Shape& input, const Shape& filter, const Window& window, Index groups) {
    require(filter.n > 0, "there must be at least one filter");
    require(groups > 0 && input.c % groups == 0 && filter.n % groups == 0 && filter.c == input.c / groups,
            "channels, filters and groups do not fit together");
    require(filter.h == window.h.filter && filter.w == window.w.filter, "the window is not as large as the filters");
    return output_of(window, input);
}

inline void require_gradient(const Shape& dout, const Shape& input, const Shape& filter, const Extent& output) {
    require(dout.n == input.n && dout.c == filter.n && dout.h == output.h && dout.w == output.w,
            "dout does not have the shape of this convolution's output");
}

template <class T>
Array<T> conv2d(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b, const WindowFields& fields,
                Index groups) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = convolved_extent(input, filter, window, groups);
    require(!b || (b->ndim() == 1 && b->shape(0) == filter.n), "b must have one entry per filter");
    Array<T> y = like<T>({input.n, filter.n, output.h, output.w});
    run(kernels<T>().conv2d, elements(x), elements(W), b ? elements(*b) : nullptr, y.mutable_data(), input, filter,
        output, window, groups);
    return y;
}

template <class T>
Array<T> conv2d_backward_data(const Array<T>& dout, const Array<T>& W, const Sizes4& input_shape,
                              const WindowFields& fields, Index groups) {
    const Shape input = image_shape(input_shape), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = convolved_extent(input, filter, window, groups);
    require_gradient(shape_of(dout, "dout must have 4 dimensions"), input, filter, output);
    Array<T> dx = like<T>(input);
    run(kernels<T>().conv2d_backward_data, elements(dout), elements(W), dx.mutable_data(), input, filter, output,
        window, groups);
    return dx;
}

template <class T>
py::tuple conv2d_backward_weight(const Array<T>& x, const Array<T>& dout, const Sizes4& filter_shape,
                                 const WindowFields& fields, Index groups) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = image_shape(filter_shape);
    const Window window = window_of(fields, input);
    const Extent output = convolved_extent(input, filter, window, groups);
    require_gradient(shape_of(dout, "dout must have 4 dimensions"), input, filter, output);
    Array<T> dW = like<T>(filter);
    Array<T> db = allocate<T>({filter.n});
    run(kernels<T>().conv2d_backward_weight, elements(x), elements(dout), dW.mutable_data(), db.mutable_data(), input,
        filter, output, window, groups);
    return py::make_tuple(dW, db);
}

// The extent of a convolution's output pooled in windows side by side.
inline Extent pooled_block(const Extent& convolved, const Sizes2& pool) {
    require(pool[0] > 0 && pool[1] > 0 && pool[0] <= convolved.h && pool[1] <= convolved.w,
            "the pool does not fit into the convolution's output");
    return {convolved.h / pool[0], convolved.w / pool[1]};
}

// `argmax`: where to put the array of the maxima's places, or null.
template <class T>
Array<T> convolved_block(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b,
                         const WindowFields& fields, Index groups, const Sizes2& pool, py::object* argmax) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = convolved_extent(input, filter, window, groups), pooled = pooled_block(output, pool);
    require(!b || (b->ndim() == 1 && b->shape(0) == filter.n), "b must have one entry per filter");
    product({filter.n, output.h, output.w, Index(sizeof(T))});  // scratch for one image
    Array<T> y = like<T>({input.n, filter.n, pooled.h, pooled.w});
    const Index taps = pool[0] * pool[1];
    const int bytes = smallest_unsigned(taps - 1);
    void* winners = nullptr;
    if (argmax && taps > 1) {
        py::array array = allocate(unsigned_dtype(bytes), {input.n, filter.n, pooled.h, pooled.w});
        winners = array.mutable_data();
        *argmax = array;
    }
    run(kernels<T>().conv2d_block, elements(x), elements(W), b ? elements(*b) : nullptr, y.mutable_data(), winners,
        bytes, input, filter, output, window, groups, Extent{pool[0], pool[1]});
    return y;
}

template <class T>
py::tuple conv2d_block(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b,
                       const WindowFields& fields, Index groups, const Sizes2& pool, bool need_argmax) {
    py::object argmax = py::none();
    const Array<T> y = convolved_block<T>(x, W, b, fields, groups, pool, need_argmax ? &argmax : nullptr);
    return py::make_tuple(y, argmax);
}

template <class T>
py::tuple conv2d_block_backward(const Array<T>& x, const Array<T>& W, const Array<T>& y, const Array<T>& dout,
                                const std::optional<py::array>& argmax, const WindowFields& fields, Index groups,
                                const Sizes2& pool, bool need_dx) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = convolved_extent(input, filter, window, groups), pooled = pooled_block(output, pool);
    require_gradient(shape_of(y, "y must have 4 dimensions"), input, filter, pooled);
    require_gradient(shape_of(dout, "dout must have 4 dimensions"), input, filter, pooled);
    product({filter.n, output.h, output.w, 2 * Index(sizeof(T))});  // scratch for one image
    const Index taps = pool[0] * pool[1];
    const int bytes = smallest_unsigned(taps - 1);
    require(argmax.has_value() == (taps > 1), "there is an argmax where there is a pool, and only there");
    if (argmax) require_argmax(*argmax, {input.n, filter.n, pooled.h, pooled.w}, bytes);
    std::optional<Array<T>> dx;
    if (need_dx) dx = like<T>(input);
    Array<T> dW = like<T>(filter);
    Array<T> db = allocate<T>({filter.n});
    run(kernels<T>().conv2d_block_backward, elements(x), elements(W), elements(y), elements(dout),
        argmax ? argmax->data() : nullptr, bytes, dx ? dx->mutable_data() : nullptr, dW.mutable_data(),
        db.mutable_data(), input, filter, output, window, groups, Extent{pool[0], pool[1]});
    return py::make_tuple(dx, dW, db);
}

}  // namespace pyconv::bindings
