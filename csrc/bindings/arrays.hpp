// What every binding does with its arguments: check them, allocate results, release the GIL around a kernel.
//
// This folder is the one place that knows pybind11. The checks here keep memory safe whatever Python passes. The
// sentences a user reads about shapes, dtypes and windows come from pyconv/checks/, which the public functions go
// through first.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../dispatch.hpp"
#include "memory.hpp"

namespace pyconv::bindings {

namespace py = pybind11;

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

inline void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

// How many elements an array of these sizes has. A product that wrapped round would allocate too little, so one
// that 64 bits do not hold is a MemoryError; an empty batch counts as one image, for kernels multiply the rest.
inline Index product(std::initializer_list<Index> sizes) {
    Index count = 1;
    for (Index size : sizes)
        if (__builtin_mul_overflow(count, size > 0 ? size : 1, &count)) out_of_memory();
    return count;
}

inline Shape shape_of(const py::array& a, const char* sentence) {
    require(a.ndim() == 4, sentence);
    require(a.shape(1) > 0 && a.shape(2) > 0 && a.shape(3) > 0, "only the first axis of an array may be empty");
    return {a.shape(0), a.shape(1), a.shape(2), a.shape(3)};
}

inline Shape image_shape(const Sizes4& sizes) {
    // 2^31 an axis leaves room for every index a kernel computes
    for (int i = 0; i < 4; ++i)
        require(sizes[i] >= (i > 0) && sizes[i] <= INT32_MAX, "an axis of a shape is out of range");
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

// The window over images of this size. A stride beyond the padded image leads nowhere, as one of its length does, but
// would have kernels make room for it.
inline Window window_of(const WindowFields& f, const Shape& input) {
    for (int i = 0; i < 10; ++i)
        require(f[i] >= (i < 6) && f[i] <= INT32_MAX, "a field of the window is out of range");
    const Index height = input.h + f[6] + f[7], width = input.w + f[8] + f[9];
    return {{f[0], std::min(f[2], height), f[4], f[6], f[7]}, {f[1], std::min(f[3], width), f[5], f[8], f[9]}};
}

inline Extent output_of(const Window& window, const Shape& input, bool ceil_mode = false) {
    const Extent output{pyconv::positions(window.h, input.h, ceil_mode),
                        pyconv::positions(window.w, input.w, ceil_mode)};
    require(output.h > 0 && output.w > 0, "the window does not fit into the padded input");
    return output;
}

inline int smallest_unsigned(Index largest) {
    return largest <= UINT8_MAX ? 1 : largest <= UINT16_MAX ? 2 : largest <= UINT32_MAX ? 4 : 8;
}

inline py::dtype unsigned_dtype(int bytes) {
    if (bytes == 1) return py::dtype::of<std::uint8_t>();
    if (bytes == 2) return py::dtype::of<std::uint16_t>();
    return bytes == 4 ? py::dtype::of<std::uint32_t>() : py::dtype::of<std::uint64_t>();
}

// An array for a result. All of them are made here, so that the memory of large ones is kept.
inline py::array allocate(const py::dtype& dtype, py::array::ShapeContainer shape) {
    Index bytes = dtype.itemsize();
    for (const Index size : *shape) bytes = product({bytes, size});
    const LargeArrayMemory memory(bytes);
    return py::array(dtype, std::move(shape));
}

template <class T>
Array<T> allocate(py::array::ShapeContainer shape) {
    return py::reinterpret_steal<Array<T>>(allocate(py::dtype::of<T>(), std::move(shape)).release());
}

template <class T>
Array<T> like(const Shape& s) {
    return allocate<T>({s.n, s.c, s.h, s.w});
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

}  // namespace pyconv::bindings
