// The only file that knows pybind11. Each function does five things: check, allocate, release the GIL, call a
// kernel of the table in use, return.
//
// The checks here keep memory safe whatever Python passes. The sentences a user reads about shapes, dtypes and
// windows come from pyconv/checks.py, which the public functions go through first.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "dispatch.hpp"
#include "parallel.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace {

using pyconv::Extent;
using pyconv::Index;
using pyconv::Kernels;
using pyconv::Shape;
using pyconv::Window;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Sizes2 = std::array<Index, 2>;
using Sizes4 = std::array<Index, 4>;
// filter h w, stride h w, dilation h w, pad top bottom left right: the fields of pyconv.window.Window, in order
using WindowFields = std::array<Index, 10>;

template <class T>
const Kernels<T>& kernels() {
    if constexpr (std::is_same_v<T, float>)
        return pyconv::kernels().f32;
    else
        return pyconv::kernels().f64;
}

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

// How many elements an array of these sizes has. A product that wrapped round would allocate too little, so one
// that 64 bits do not hold is a MemoryError; an empty batch counts as one image, for kernels multiply the rest.
Index product(std::initializer_list<Index> sizes) {
    Index count = 1;
    for (Index size : sizes)
        if (__builtin_mul_overflow(count, size > 0 ? size : 1, &count)) throw std::bad_alloc();
    return count;
}

Shape shape_of(const py::array& a, const char* sentence) {
    require(a.ndim() == 4, sentence);
    require(a.shape(1) > 0 && a.shape(2) > 0 && a.shape(3) > 0, "only the first axis of an array may be empty");
    return {a.shape(0), a.shape(1), a.shape(2), a.shape(3)};
}

Shape image_shape(const Sizes4& sizes) {
    // 2^31 an axis leaves room for every index a kernel computes
    for (int i = 0; i < 4; ++i)
        require(sizes[i] >= (i > 0) && sizes[i] <= INT32_MAX, "an axis of a shape is out of range");
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

Window window_of(const WindowFields& f) {
    for (int i = 0; i < 10; ++i)
        require(f[i] >= (i < 6) && f[i] <= INT32_MAX, "a field of the window is out of range");
    return {{f[0], f[2], f[4], f[6], f[7]}, {f[1], f[3], f[5], f[8], f[9]}};
}

Extent output_of(const Window& window, const Shape& input, bool ceil_mode = false) {
    const Extent output{pyconv::positions(window.h, input.h, ceil_mode),
                        pyconv::positions(window.w, input.w, ceil_mode)};
    require(output.h > 0 && output.w > 0, "the window does not fit into the padded input");
    return output;
}

// The output extent of a pooling whose gradient has these sizes: floored or, with ceil_mode, rounded up.
Extent pooled_extent(const Window& window, const Shape& input, const Shape& dout) {
    for (bool ceil_mode : {false, true}) {
        const Extent output = output_of(window, input, ceil_mode);
        if (output.h == dout.h && output.w == dout.w) return output;
    }
    throw std::invalid_argument("dout does not have the shape of this pooling's output");
}

int smallest_unsigned(Index largest) {
    return largest <= UINT8_MAX ? 1 : largest <= UINT16_MAX ? 2 : largest <= UINT32_MAX ? 4 : 8;
}

py::dtype unsigned_dtype(int bytes) {
    if (bytes == 1) return py::dtype::of<std::uint8_t>();
    if (bytes == 2) return py::dtype::of<std::uint16_t>();
    return bytes == 4 ? py::dtype::of<std::uint32_t>() : py::dtype::of<std::uint64_t>();
}

template <class T>
Array<T> allocate(std::initializer_list<Index> shape) {
    product({product(shape), Index(sizeof(T))});
    return Array<T>(py::array::ShapeContainer(shape));
}

template <class T>
Array<T> like(const Shape& s) {
    return allocate<T>({s.n, s.c, s.h, s.w});
}

// The column matrix of these windows: (N*OH*OW, C*FH*FW).
Extent column_matrix(const Shape& input, const Extent& output, const Window& window) {
    product({input.n, output.h, output.w, input.c, window.h.filter, window.w.filter});
    return {input.n * output.h * output.w, input.c * window.h.filter * window.w.filter};
}

// The elements of an argument. NumPy lets an array start at any byte, but kernels load whole elements.
template <class T>
const T* elements(const Array<T>& a) {
    require(reinterpret_cast<std::uintptr_t>(a.data()) % alignof(T) == 0, "an array is not aligned to its elements");
    return a.data();
}

// Likewise of an argument that a kernel changes in place.
template <class T>
T* changeable(Array<T>& a) {
    require(a.writeable(), "an array that changes in place is read-only");
    elements(a);
    return a.mutable_data();
}

// Runs a kernel with the GIL released. Pointers were taken from the arrays before: no Python object is touched.
template <class Kernel, class... Arguments>
void run(Kernel kernel, Arguments... arguments) {
    py::gil_scoped_release released;
    kernel(arguments...);
}

template <class T>
Array<T> im2col(const Array<T>& x, const WindowFields& fields) {
    const Shape input = shape_of(x, "x must have 4 dimensions");
    const Window window = window_of(fields);
    const Extent output = output_of(window, input);
    const Extent size = column_matrix(input, output, window);
    Array<T> col = allocate<T>({size.h, size.w});
    run(kernels<T>().im2col, elements(x), col.mutable_data(), input, output, window);
    return col;
}

template <class T>
Array<T> col2im(const Array<T>& col, const Sizes4& input_shape, const WindowFields& fields) {
    const Shape input = image_shape(input_shape);
    const Window window = window_of(fields);
    const Extent output = output_of(window, input);
    const Extent size = column_matrix(input, output, window);
    require(col.ndim() == 2 && col.shape(0) == size.h && col.shape(1) == size.w,
            "col does not have the shape im2col would give");
    Array<T> dx = like<T>(input);
    run(kernels<T>().col2im, elements(col), dx.mutable_data(), input, output, window);
    return dx;
}

template <class T>
py::tuple max_pool2d(const Array<T>& x, const WindowFields& fields, bool ceil_mode) {
    const Shape input = shape_of(x, "x must have 4 dimensions");
    const Window window = window_of(fields);
    const Extent output = output_of(window, input, ceil_mode);
    const Shape pooled{input.n, input.c, output.h, output.w};
    const int bytes = smallest_unsigned(window.h.filter * window.w.filter - 1);
    Array<T> y = like<T>(pooled);
    py::array argmax(unsigned_dtype(bytes), {pooled.n, pooled.c, pooled.h, pooled.w});
    run(kernels<T>().max_pool2d, elements(x), y.mutable_data(), argmax.mutable_data(), bytes, input, output, window);
    return py::make_tuple(y, argmax);
}

// Requires what a forward pass returned as argmax: a tap for each element of a pooled output.
void require_argmax(const py::array& argmax, const Shape& pooled, int bytes) {
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
    const Window window = window_of(fields);
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
    const Window window = window_of(fields);
    const Extent output = output_of(window, input, ceil_mode);
    Array<T> y = like<T>({input.n, input.c, output.h, output.w});
    run(kernels<T>().avg_pool2d, elements(x), y.mutable_data(), input, output, window, count_include_pad);
    return y;
}

template <class T>
Array<T> avg_pool2d_backward(const Array<T>& dout, const Sizes4& input_shape, const WindowFields& fields,
                             bool count_include_pad) {
    const Shape gradient = shape_of(dout, "dout must have 4 dimensions"), input = image_shape(input_shape);
    const Window window = window_of(fields);
    const Extent output = pooled_extent(window, input, gradient);
    require(gradient.n == input.n && gradient.c == input.c, "dout and input_shape differ in images or channels");
    Array<T> dx = like<T>(input);
    run(kernels<T>().avg_pool2d_backward, elements(dout), dx.mutable_data(), input, output, window, count_include_pad);
    return dx;
}

// Checks that filters fit the images and the window; answers the extent of the convolution's output.
Extent convolved_extent(const Shape& input, const Shape& filter, const Window& window, Index groups) {
    require(filter.n > 0, "there must be at least one filter");
    require(groups > 0 && input.c % groups == 0 && filter.n % groups == 0 && filter.c == input.c / groups,
            "channels, filters and groups do not fit together");
    require(filter.h == window.h.filter && filter.w == window.w.filter, "the window is not as large as the filters");
    return output_of(window, input);
}

void require_gradient(const Shape& dout, const Shape& input, const Shape& filter, const Extent& output) {
    require(dout.n == input.n && dout.c == filter.n && dout.h == output.h && dout.w == output.w,
            "dout does not have the shape of this convolution's output");
}

template <class T>
Array<T> conv2d(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b, const WindowFields& fields,
                Index groups) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields);
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
    const Window window = window_of(fields);
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
    const Window window = window_of(fields);
    const Extent output = convolved_extent(input, filter, window, groups);
    require_gradient(shape_of(dout, "dout must have 4 dimensions"), input, filter, output);
    Array<T> dW = like<T>(filter);
    Array<T> db(filter.n);
    run(kernels<T>().conv2d_backward_weight, elements(x), elements(dout), dW.mutable_data(), db.mutable_data(), input,
        filter, output, window, groups);
    return py::make_tuple(dW, db);
}

// The extent of a convolution's output pooled in windows side by side.
Extent pooled_block(const Extent& convolved, const Sizes2& pool) {
    require(pool[0] > 0 && pool[1] > 0 && pool[0] <= convolved.h && pool[1] <= convolved.w,
            "the pool does not fit into the convolution's output");
    return {convolved.h / pool[0], convolved.w / pool[1]};
}

template <class T>
py::tuple conv2d_block(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b,
                       const WindowFields& fields, Index groups, const Sizes2& pool, bool need_argmax) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields);
    const Extent output = convolved_extent(input, filter, window, groups), pooled = pooled_block(output, pool);
    require(!b || (b->ndim() == 1 && b->shape(0) == filter.n), "b must have one entry per filter");
    product({filter.n, output.h, output.w, Index(sizeof(T))});  // scratch for one image
    Array<T> y = like<T>({input.n, filter.n, pooled.h, pooled.w});
    const Index taps = pool[0] * pool[1];
    const int bytes = smallest_unsigned(taps - 1);
    py::object argmax = py::none();
    void* winners = nullptr;
    if (need_argmax && taps > 1) {
        py::array array(unsigned_dtype(bytes), {input.n, filter.n, pooled.h, pooled.w});
        winners = array.mutable_data();
        argmax = array;
    }
    run(kernels<T>().conv2d_block, elements(x), elements(W), b ? elements(*b) : nullptr, y.mutable_data(), winners,
        bytes, input, filter, output, window, groups, Extent{pool[0], pool[1]});
    return py::make_tuple(y, argmax);
}

template <class T>
py::tuple conv2d_block_backward(const Array<T>& x, const Array<T>& W, const Array<T>& y, const Array<T>& dout,
                                const std::optional<py::array>& argmax, const WindowFields& fields, Index groups,
                                const Sizes2& pool, bool need_dx) {
    const Shape input = shape_of(x, "x must have 4 dimensions"), filter = shape_of(W, "W must have 4 dimensions");
    const Window window = window_of(fields);
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
    Array<T> db(filter.n);
    run(kernels<T>().conv2d_block_backward, elements(x), elements(W), elements(y), elements(dout),
        argmax ? argmax->data() : nullptr, bytes, dx ? dx->mutable_data() : nullptr, dW.mutable_data(),
        db.mutable_data(), input, filter, output, window, groups, Extent{pool[0], pool[1]});
    return py::make_tuple(dx, dW, db);
}

template <class T>
Array<T> affine(const Array<T>& x, const Array<T>& W, const std::optional<Array<T>>& b, bool relu) {
    require(x.ndim() == 2 && W.ndim() == 2 && x.shape(1) == W.shape(0), "x (N, D) and W (D, M) do not fit together");
    require(!b || (b->ndim() == 1 && b->shape(0) == W.shape(1)), "b must have one entry per column of W");
    Array<T> y = allocate<T>({x.shape(0), W.shape(1)});
    run(kernels<T>().affine, elements(x), elements(W), b ? elements(*b) : nullptr, y.mutable_data(), x.shape(0),
        x.shape(1), W.shape(1), relu);
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
    Array<T> dW = allocate<T>({W.shape(0), W.shape(1)}), db(W.shape(1));
    run(kernels<T>().affine_backward, elements(x), elements(dout), elements(W), y ? elements(*y) : nullptr,
        dx ? dx->mutable_data() : nullptr, dW.mutable_data(), db.mutable_data(), x.shape(0), x.shape(1), W.shape(1));
    return py::make_tuple(dx, dW, db);
}

template <class T>
Array<T> of_shape(const Array<T>& a) {
    return Array<T>(py::array::ShapeContainer(a.shape(), a.shape() + a.ndim()));
}

template <class T>
bool same_shape(const Array<T>& a, const Array<T>& b) {
    return a.ndim() == b.ndim() && std::equal(a.shape(), a.shape() + a.ndim(), b.shape());
}

template <class T>
Array<T> relu(const Array<T>& x) {
    Array<T> y = of_shape(x);
    run(kernels<T>().relu, elements(x), y.mutable_data(), x.size());
    return y;
}

template <class T>
Array<T> relu_backward(const Array<T>& dout, const Array<T>& y) {
    require(same_shape(dout, y), "dout and y differ in shape");
    Array<T> dx = of_shape(y);
    run(kernels<T>().relu_backward, elements(dout), elements(y), dx.mutable_data(), y.size());
    return dx;
}

// The arrays of an optimizer's step: a parameter, its gradient, what is remembered of it.
template <class T>
void require_step(std::initializer_list<const Array<T>*> arrays) {
    const auto begins = [](const Array<T>* a) { return reinterpret_cast<std::uintptr_t>(a->data()); };
    for (const Array<T>* a : arrays) {
        require(same_shape(*a, **arrays.begin()), "the arrays of a step differ in shape");
        const std::uintptr_t bytes = std::uintptr_t(a->nbytes());  // of each, the same
        for (const Array<T>* b : arrays)
            require(a == b || begins(a) + bytes <= begins(b) || begins(b) + bytes <= begins(a),
                    "the arrays of a step overlap");
    }
}

// The function of Python that runs a step's kernel, for the three numbers of arrays an optimizer remembers.
template <class T, class... Numbers>
auto step(void (*Kernels<T>::*kernel)(T*, const T*, Index, Numbers...)) {
    return [kernel](Array<T> param, const Array<T>& grad, Numbers... numbers) {
        require_step<T>({&param, &grad});
        run(kernels<T>().*kernel, changeable(param), elements(grad), param.size(), numbers...);
    };
}

template <class T, class... Numbers>
auto step(void (*Kernels<T>::*kernel)(T*, const T*, T*, Index, Numbers...)) {
    return [kernel](Array<T> param, const Array<T>& grad, Array<T> v, Numbers... numbers) {
        require_step<T>({&param, &grad, &v});
        run(kernels<T>().*kernel, changeable(param), elements(grad), changeable(v), param.size(), numbers...);
    };
}

template <class T, class... Numbers>
auto step(void (*Kernels<T>::*kernel)(T*, const T*, T*, T*, Index, Numbers...)) {
    return [kernel](Array<T> param, const Array<T>& grad, Array<T> m, Array<T> v, Numbers... numbers) {
        require_step<T>({&param, &grad, &m, &v});
        run(kernels<T>().*kernel, changeable(param), elements(grad), changeable(m), changeable(v), param.size(),
            numbers...);
    };
}

// How many operations the CPU was given to do in every thread; the caller takes the time.
Index peak_multiply_adds(Index steps) {
    require(steps >= 0 && steps <= INT32_MAX, "steps is out of range");
    const int threads = pyconv::num_threads();
    std::vector<float> sums(threads);
    py::gil_scoped_release released;
    return pyconv::kernels().peaks.multiply_adds(steps, threads, sums.data());
}

void peak_copy(const Array<float>& source, Array<float>& target) {
    require(source.size() == target.size(), "source and target differ in size");
    elements(target);
    run(pyconv::kernels().peaks.copy, elements(source), target.mutable_data(), Index(source.size()),
        pyconv::num_threads());
}

// Registers every kernel for one element type. noconvert: an array of another dtype, or one that is not
// C-contiguous, is an error here instead of a hidden copy.
template <class T>
void register_kernels(py::module_& m) {
    const auto exact = [](const char* name) { return py::arg(name).noconvert(); };
    m.def("im2col", im2col<T>, exact("x"), "window"_a);
    m.def("col2im", col2im<T>, exact("col"), "input_shape"_a, "window"_a);
    m.def("max_pool2d", max_pool2d<T>, exact("x"), "window"_a, "ceil_mode"_a);
    m.def("max_pool2d_backward", max_pool2d_backward<T>, exact("dout"), exact("argmax"), "input_shape"_a, "window"_a);
    m.def("avg_pool2d", avg_pool2d<T>, exact("x"), "window"_a, "ceil_mode"_a, "count_include_pad"_a);
    m.def("avg_pool2d_backward", avg_pool2d_backward<T>, exact("dout"), "input_shape"_a, "window"_a,
          "count_include_pad"_a);
    m.def("conv2d", conv2d<T>, exact("x"), exact("W"), exact("b"), "window"_a, "groups"_a);
    m.def("conv2d_backward_data", conv2d_backward_data<T>, exact("dout"), exact("W"), "input_shape"_a, "window"_a,
          "groups"_a);
    m.def("conv2d_backward_weight", conv2d_backward_weight<T>, exact("x"), exact("dout"), "filter_shape"_a,
          "window"_a, "groups"_a);
    m.def("conv2d_block", conv2d_block<T>, exact("x"), exact("W"), exact("b"), "window"_a, "groups"_a, "pool"_a,
          "need_argmax"_a);
    m.def("conv2d_block_backward", conv2d_block_backward<T>, exact("x"), exact("W"), exact("y"), exact("dout"),
          exact("argmax"), "window"_a, "groups"_a, "pool"_a, "need_dx"_a);
    m.def("affine", affine<T>, exact("x"), exact("W"), exact("b"), "relu"_a);
    m.def("affine_backward", affine_backward<T>, exact("x"), exact("dout"), exact("W"), exact("y"), "need_dx"_a);
    m.def("relu", relu<T>, exact("x"));
    m.def("relu_backward", relu_backward<T>, exact("dout"), exact("y"));
    const py::arg param = exact("param"), grad = exact("grad"), lr("lr");
    m.def("sgd_step", step<T>(&Kernels<T>::sgd_step), param, grad, lr);
    m.def("momentum_step", step<T>(&Kernels<T>::momentum_step), param, grad, exact("v"), lr, "momentum"_a);
    m.def("nesterov_step", step<T>(&Kernels<T>::nesterov_step), param, grad, exact("v"), lr, "momentum"_a);
    m.def("adagrad_step", step<T>(&Kernels<T>::adagrad_step), param, grad, exact("h"), lr);
    m.def("rmsprop_step", step<T>(&Kernels<T>::rmsprop_step), param, grad, exact("h"), lr, "decay_rate"_a);
    m.def("adam_step", step<T>(&Kernels<T>::adam_step), param, grad, exact("m"), exact("v"), lr, "beta1"_a,
          "beta2"_a);
}

py::dict build_info() {
    return py::dict("version"_a = PYCONV_VERSION, "compiler"_a = PYCONV_COMPILER, "flags"_a = PYCONV_FLAGS,
                    "isa"_a = pyconv::kernels().isa, "isas"_a = pyconv::supported_isas(),
                    "threads"_a = pyconv::num_threads());
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "The compiled kernels of pyconv. Call them through the functions of pyconv, which check and explain.";
    pyconv::kernels();  // a wrong PYCONV_ISA is an error of the import, not of the first call
    register_kernels<float>(m);
    register_kernels<double>(m);
    py::list names;
#define PYCONV_NAME(name, parameters) names.append(#name);
    PYCONV_KERNELS(PYCONV_NAME)
    m.attr("KERNELS") = py::tuple(names);
    m.attr("__version__") = PYCONV_VERSION;
    m.def("peak_multiply_adds", peak_multiply_adds, "steps"_a);
    m.def("peak_copy", peak_copy, py::arg("source").noconvert(), py::arg("target").noconvert());
    m.def("build_info", build_info);
    m.def("num_threads", pyconv::num_threads);
    m.def("set_num_threads", pyconv::set_num_threads, "n"_a);
}
