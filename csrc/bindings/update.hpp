// ReLU and the steps of the optimizers: check, allocate, run.
#pragma once

#include <algorithm>

#include "arrays.hpp"

namespace pyconv::bindings {

template <class T>
Array<T> of_shape(const Array<T>& a) {
    return allocate<T>(py::array::ShapeContainer(a.shape(), a.shape() + a.ndim()));
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

}  // namespace pyconv::bindings
