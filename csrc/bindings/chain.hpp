// A network's forward kernels one after another in one call: for a single image they take microseconds, and so does
// Python between them.
#pragma once

#include <pybind11/critical_section.h>

#include <algorithm>
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

// Kernels one after another, each with what the one before returned.
class Chain {
public:
    // `calls`: their arguments beside x. `sample`: the shape of an image of the batches they take.
    Chain(const std::vector<py::tuple>& calls, std::vector<Index> sample)
        : links_(calls.begin(), calls.end()), sample_(std::move(sample)),
          array_(py::module_::import("numpy").attr("ndarray")) {
        require(!links_.empty(), "a chain has at least one kernel");
    }

    // The last kernel's result; None where x is no batch that the kernels can read as it lies.
    py::object run(const py::object& x) const {
        return links_[0].is_of<float>() ? run_as<float>(x) : run_as<double>(x);
    }

private:
    template <class T>
    py::object run_as(const py::object& x) const {
        if (!py::type::handle_of(x).is(array_) || !py::isinstance<Array<T>>(x)) return py::none();
        Array<T> y = py::reinterpret_borrow<Array<T>>(x);
        const bool aligned = reinterpret_cast<std::uintptr_t>(y.data()) % alignof(T) == 0;
        const bool fits = y.ndim() == Index(sample_.size()) + 1 &&
                          std::equal(sample_.begin(), sample_.end(), y.shape() + 1);
        if (!aligned || !fits) return py::none();
        for (const Link& link : links_) {
            require(link.is_of<T>(), "weights differ in dtype, or are not C-contiguous");
            y = link.forward<T>(y);
        }
        return std::move(y);
    }

    std::vector<Link> links_;
    std::vector<Index> sample_;
    py::object array_;
};

// A function (x, now, then) that calls kernels one after another, of which `calls` holds the arguments beside x:
// (W, b, window, groups, pool) of conv2d_block, or (W, b, relu) of affine. None where x is not like the samples it was
// made for, or attributes are others than then: for the lists, see same_objects.
inline py::cpp_function chain(const std::vector<py::tuple>& calls, const std::vector<Index>& sample) {
    return py::cpp_function([made = Chain(calls, sample)](const py::object& x, const py::list& now,
                                                          const py::list& then) -> py::object {
        return same_objects(now, then) ? made.run(x) : py::none();
    });
}

}  // namespace pyconv::bindings
