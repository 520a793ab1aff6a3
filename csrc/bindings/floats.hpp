// One function of the module for both element types: the first array that Python passes decides which of two instances
// of a template runs. The code that pybind11 makes of a function is there once.
#pragma once

#include "arrays.hpp"

namespace pyconv::bindings {

// A C-contiguous array of float32 or float64 as it is: of another dtype or layout it is an error, not a hidden copy.
struct Floats {
    py::object array;
    bool is_float32 = false;
};

// An argument as the instance for T takes it.
template <class T>
Array<T> as(const Floats& floats) {
    if (floats.is_float32 != std::is_same_v<T, float>) throw py::type_error("the arrays of a call differ in dtype");
    return py::reinterpret_borrow<Array<T>>(floats.array);
}
template <class T>
std::optional<Array<T>> as(const std::optional<Floats>& floats) {
    if (floats) return as<T>(*floats);
    return std::nullopt;
}
template <class T, class Other>
const Other& as(const Other& other) {
    return other;
}

// What Python passes for a parameter of the instance for float.
template <class Parameter>
struct Passed {
    using Type = Parameter;
};
template <>
struct Passed<Array<float>> {
    using Type = const Floats&;
};
template <>
struct Passed<const Array<float>&> : Passed<Array<float>> {};
template <>
struct Passed<const std::optional<Array<float>>&> {
    using Type = const std::optional<Floats>&;
};

template <class F32, class F64, class Result, class First, class... Others>
auto either(F32 f32, F64 f64, Result (*)(First, Others...)) {
    using Either = std::conditional_t<std::is_void_v<Result>, void, py::object>;
    return [f32, f64](const Floats& first, typename Passed<Others>::Type... others) -> Either {
        if (first.is_float32) return f32(as<float>(first), as<float>(others)...);
        return f64(as<double>(first), as<double>(others)...);
    };
}

// The function of Python that two instances are; each takes an array first.
template <class F32, class F64>
auto either(F32 f32, F64 f64) {
    return either(f32, f64, static_cast<py::detail::function_signature_t<F32>*>(nullptr));
}

}  // namespace pyconv::bindings

namespace pybind11::detail {

template <>
struct type_caster<pyconv::bindings::Floats> {
    PYBIND11_TYPE_CASTER(pyconv::bindings::Floats, const_name("numpy.typing.NDArray[numpy.float32 | numpy.float64]"));

    bool load(handle source, bool) {
        value.is_float32 = isinstance<pyconv::bindings::Array<float>>(source);
        if (!value.is_float32 && !isinstance<pyconv::bindings::Array<double>>(source)) return false;
        value.array = reinterpret_borrow<object>(source);
        return true;
    }
};

}  // namespace pybind11::detail
