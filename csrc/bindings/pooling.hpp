// Max and average pooling: check, allocate, run.
#pragma once

#include "arrays.hpp"

namespace pyconv::bindings {

// The output extent of a pooling whose gradient has these sizes: floored or, with ceil_mode, rounded up.
inline Extent pooled_extent(const Window& window, const Shape& input, const Shape& dout) {
    for (bool ceil_mode : {false, true}) {
        const Extent output = output_of(window, input, ceil_mode);
        if (output.h == dout.h && output.w == dout.w) return output;
    }
    throw std::invalid_argument("dout does not have the shape of this pooling's output");
}

template <class T>
py::tuple max_pool2d(const Array<T>& x, const WindowFields& fields, bool ceil_mode) {
    const Shape input = shape_of(x, "x must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = output_of(window, input, ceil_mode);
    const Shape pooled{input.n, input.c, output.h, output.w};
    const int bytes = smallest_unsigned(window.h.filter * window.w.filter - 1);
    Array<T> y = like<T>(pooled);
    py::array argmax = allocate(unsigned_dtype(bytes), {pooled.n, pooled.c, pooled.h, pooled.w});
    run(kernels<T>().max_pool2d, elements(x), y.mutable_data(), argmax.mutable_data(), bytes, input, output, window);
    return py::make_tuple(y, argmax);
}

// Requires what a forward pass returned as argmax: a tap for each element of a pooled output.
inline void require_argmax(const py::array& argmax, const Shape& pooled, int bytes) {
    const Shape winners = shape_of(argmax, "argmax must have 4 dimensions");
    require(winners.n == pooled.n && winners.c == pooled.c && winners.h == pooled.h && winners.w == pooled.w,
            "argmax and dout differ in shape");
    require(argmax.dtype().kind() == 'u' && argmax.itemsize() == bytes && (argmax.flags() & py::array::c_style) &&
                reinterpret_cast<std::uintptr_t>(argmax.data()) % std::uintptr_t(bytes) == 0,
            "argmax is not an array that max-pooling returned for this window");
}

template <class T>
Array<T> max_pool2d_backward(const Array<T>& dout, const py::array& argmax, const Sizes4& input_shape,
                             const WindowFields& fields) {
    const Shape gradient = shape_of(dout, "dout must have 4 dimensions"), input = image_shape(input_shape);
    const Window window = window_of(fields, input);
    const Extent output = pooled_extent(window, input, gradient);
    require(gradient.n == input.n && gradient.c == input.c, "dout and input_shape differ in images or channels");
    const int bytes = smallest_unsigned(window.h.filter * window.w.filter - 1);
    require_argmax(argmax, gradient, bytes);
    Array<T> dx = like<T>(input);
    run(kernels<T>().max_pool2d_backward, elements(dout), argmax.data(), bytes, dx.mutable_data(), input, output,
        window);
    return dx;
}

template <class T>
Array<T> avg_pool2d(const Array<T>& x, const WindowFields& fields, bool ceil_mode, bool count_include_pad) {
    const Shape input = shape_of(x, "x must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = output_of(window, input, ceil_mode);
    Array<T> y = like<T>({input.n, input.c, output.h, output.w});
    run(kernels<T>().avg_pool2d, elements(x), y.mutable_data(), input, output, window, count_include_pad);
    return y;
}

template <class T>
Array<T> avg_pool2d_backward(const Array<T>& dout, const Sizes4& input_shape, const WindowFields& fields,
                             bool count_include_pad) {
    const Shape gradient = shape_of(dout, "dout must have 4 dimensions"), input = image_shape(input_shape);
    const Window window = window_of(fields, input);
    const Extent output = pooled_extent(window, input, gradient);
    require(gradient.n == input.n && gradient.c == input.c, "dout and input_shape differ in images or channels");
    Array<T> dx = like<T>(input);
    run(kernels<T>().avg_pool2d_backward, elements(dout), dx.mutable_data(), input, output, window, count_include_pad);
    return dx;
}

}  // namespace pyconv::bindings
