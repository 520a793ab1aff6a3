// im2col and col2im: check, allocate, run.
#pragma once

#include "arrays.hpp"

namespace pyconv::bindings {

// The column matrix of these windows: (N*OH*OW, C*FH*FW).
inline Extent column_matrix(const Shape& input, const Extent& output, const Window& window) {
    product({input.n, output.h, output.w, input.c, window.h.filter, window.w.filter});
    return {input.n * output.h * output.w, input.c * window.h.filter * window.w.filter};
}

template <class T>
Array<T> im2col(const Array<T>& x, const WindowFields& fields) {
    const Shape input = shape_of(x, "x must have 4 dimensions");
    const Window window = window_of(fields, input);
    const Extent output = output_of(window, input);
    const Extent size = column_matrix(input, output, window);
    Array<T> col = allocate<T>({size.h, size.w});
    run(kernels<T>().im2col, elements(x), col.mutable_data(), input, output, window);
    return col;
}

template <class T>
Array<T> col2im(const Array<T>& col, const Sizes4& input_shape, const WindowFields& fields) {
    const Shape input = image_shape(input_shape);
    const Window window = window_of(fields, input);
    const Extent output = output_of(window, input);
    const Extent size = column_matrix(input, output, window);
    require(col.ndim() == 2 && col.shape(0) == size.h && col.shape(1) == size.w,
            "col does not have the shape im2col would give");
    Array<T> dx = like<T>(input);
    run(kernels<T>().col2im, elements(col), dx.mutable_data(), input, output, window);
    return dx;
}

}  // namespace pyconv::bindings
