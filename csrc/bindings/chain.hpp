// A network's forward kernels one after another in one call: for a single image they take microseconds, and so does
// Python between them.
#pragma once

#include <pybind11/critical_section.h>

#include <vector>

#include "affine.hpp"
#include "convolution.hpp"

namespace pyconv::bindings {

// The arguments beside x of conv2d_block, or of affine.
struct Link {
    py::object W, b;
    bool is_block, relu = false;
    WindowFields window{};
    Index groups = 1;
    Sizes2 pool{};

    explicit Link(const py::tuple& arguments) : W(arguments[0]), b(arguments[1]), is_block(arguments.size() == 5) {
        if (is_block) {
            window = arguments[2].cast<WindowFields>();
            groups = arguments[3].cast<Index>();
            pool = arguments[4].cast<Sizes2>();
        } else {
            relu = arguments[2].cast<bool>();
        }
    }

    template <class T>
    bool is_of() const {
        return py::isinstance<Array<T>>(W) && (b.is_none() || py::isinstance<Array<T>>(b));
    }

    template <class T>
    Array<T> forward(const Array<T>& x) const {
        const Array<T> weights = py::reinterpret_borrow<Array<T>>(W);
        std::optional<Array<T>> bias;
        if (!b.is_none()) bias = py::reinterpret_borrow<Array<T>>(b);
        return is_block ? convolved_block<T>(x, weights, bias, window, groups, pool, nullptr)
                        : affine<T>(x, weights, bias, relu);
    }
};

template <class T>
py::object run_links(const std::vector<Link>& links, const py::object& x) {
    require(py::isinstance<Array<T>>(x), "x has another dtype than the weights, or is not C-contiguous");
    Array<T> y = py::reinterpret_borrow<Array<T>>(x);
    for (const Link& link : links) {
        require(link.is_of<T>(), "weights differ in dtype, or are not C-contiguous");
        y = link.forward<T>(y);
    }
    return std::move(y);
}

// Whether every dict of `now` holds the very objects that its copy in `then` does. Of attributes this is much faster
// than asking for them by name.
inline bool same_objects(const py::list& now, const py::list& then) {
    if (now.size() != then.size()) return false;
    for (std::size_t i = 0; i < now.size(); ++i) {
        const py::dict here = now[i], copy = then[i];
        const py::scoped_critical_section locked(here, copy);
        if (here.size() != copy.size()) return false;
        PyObject *key, *value, *old_key, *old_value;
        Py_ssize_t at = 0, old_at = 0;
        while (PyDict_Next(here.ptr(), &at, &key, &value) && PyDict_Next(copy.ptr(), &old_at, &old_key, &old_value))
            if (key != old_key || value != old_value) return false;
    }
    return true;
}

// A function of x that calls kernels one after another, each with what the one before returned. `calls` holds their
// other arguments: (W, b, window, groups, pool) of conv2d_block, or (W, b, relu) of affine.
inline py::cpp_function chain(const std::vector<py::tuple>& calls) {
    const std::vector<Link> links(calls.begin(), calls.end());
    require(!links.empty(), "a chain has at least one kernel");
    return py::cpp_function([links](const py::object& x) {
        return links[0].is_of<float>() ? run_links<float>(links, x) : run_links<double>(links, x);
    });
}

}  // namespace pyconv::bindings
