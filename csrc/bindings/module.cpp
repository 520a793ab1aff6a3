// Registers the functions of the extension module. Those on arrays stand in the headers beside this file, named as
// their kernels' are; each does five things: check, allocate, release the GIL, call a kernel of the table in use,
// return.
#include <vector>

#include "../parallel.hpp"
#include "affine.hpp"
#include "chain.hpp"
#include "columns.hpp"
#include "convolution.hpp"
#include "floats.hpp"
#include "pooling.hpp"
#include "update.hpp"

namespace pyconv::bindings {
namespace {

using namespace py::literals;

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

// noconvert: an array of another dtype or layout is an error, not a hidden copy; so it is for floats in either().
#define PYCONV_EITHER(function) either(function<float>, function<double>)
#define PYCONV_STEP(name) either(step<float>(&Kernels<float>::name), step<double>(&Kernels<double>::name))

void register_kernels(py::module_& m) {
    m.def("im2col", PYCONV_EITHER(im2col), "x"_a, "window"_a);
    m.def("col2im", PYCONV_EITHER(col2im), "col"_a, "input_shape"_a, "window"_a);
    m.def("max_pool2d", PYCONV_EITHER(max_pool2d), "x"_a, "window"_a, "ceil_mode"_a);
    m.def("max_pool2d_backward", PYCONV_EITHER(max_pool2d_backward), "dout"_a, py::arg("argmax").noconvert(),
          "input_shape"_a, "window"_a);
    m.def("avg_pool2d", PYCONV_EITHER(avg_pool2d), "x"_a, "window"_a, "ceil_mode"_a, "count_include_pad"_a);
    m.def("avg_pool2d_backward", PYCONV_EITHER(avg_pool2d_backward), "dout"_a, "input_shape"_a, "window"_a,
          "count_include_pad"_a);
    m.def("conv2d", PYCONV_EITHER(conv2d), "x"_a, "W"_a, "b"_a, "window"_a, "groups"_a);
    m.def("conv2d_backward_data", PYCONV_EITHER(conv2d_backward_data), "dout"_a, "W"_a, "input_shape"_a, "window"_a,
          "groups"_a);
    m.def("conv2d_backward_weight", PYCONV_EITHER(conv2d_backward_weight), "x"_a, "dout"_a, "filter_shape"_a,
          "window"_a, "groups"_a);
    m.def("conv2d_block", PYCONV_EITHER(conv2d_block), "x"_a, "W"_a, "b"_a, "window"_a, "groups"_a, "pool"_a,
          "need_argmax"_a);
    m.def("conv2d_block_backward", PYCONV_EITHER(conv2d_block_backward), "x"_a, "W"_a, "y"_a, "dout"_a,
          py::arg("argmax").noconvert(), "window"_a, "groups"_a, "pool"_a, "need_dx"_a);
    m.def("affine", PYCONV_EITHER(affine), "x"_a, "W"_a, "b"_a, "relu"_a);
    m.def("affine_backward", PYCONV_EITHER(affine_backward), "x"_a, "dout"_a, "W"_a, "y"_a, "need_dx"_a);
    m.def("relu", PYCONV_EITHER(relu), "x"_a);
    m.def("relu_backward", PYCONV_EITHER(relu_backward), "dout"_a, "y"_a);
    m.def("sgd_step", PYCONV_STEP(sgd_step), "param"_a, "grad"_a, "lr"_a);
    m.def("momentum_step", PYCONV_STEP(momentum_step), "param"_a, "grad"_a, "v"_a, "lr"_a, "momentum"_a);
    m.def("nesterov_step", PYCONV_STEP(nesterov_step), "param"_a, "grad"_a, "v"_a, "lr"_a, "momentum"_a);
    m.def("adagrad_step", PYCONV_STEP(adagrad_step), "param"_a, "grad"_a, "h"_a, "lr"_a);
    m.def("rmsprop_step", PYCONV_STEP(rmsprop_step), "param"_a, "grad"_a, "h"_a, "lr"_a, "decay_rate"_a);
    m.def("adam_step", PYCONV_STEP(adam_step), "param"_a, "grad"_a, "m"_a, "v"_a, "lr"_a, "beta1"_a, "beta2"_a);
}

#undef PYCONV_EITHER
#undef PYCONV_STEP

py::dict build_info() {
    return py::dict("version"_a = PYCONV_VERSION, "compiler"_a = PYCONV_COMPILER, "flags"_a = PYCONV_FLAGS,
                    "isa"_a = pyconv::kernels().isa, "isas"_a = pyconv::supported_isas(),
                    "threads"_a = pyconv::num_threads());
}

}  // namespace
}  // namespace pyconv::bindings

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
    using namespace pyconv::bindings;
    using namespace py::literals;
    m.doc() = "The compiled kernels of pyconv. Call them through the functions of pyconv, which check and explain.";
    pyconv::kernels();  // a wrong PYCONV_ISA is an error of the import, not of the first call
    register_kernels(m);
    m.def("chain", chain, "calls"_a, "sample"_a);
    py::list names;
#define PYCONV_NAME(name, parameters) names.append(#name);
    PYCONV_KERNELS(PYCONV_NAME)
#undef PYCONV_NAME
    m.attr("KERNELS") = py::tuple(names);
    m.attr("__version__") = PYCONV_VERSION;
    m.def("peak_multiply_adds", peak_multiply_adds, "steps"_a);
    m.def("peak_copy", peak_copy, py::arg("source").noconvert(), py::arg("target").noconvert());
    m.def("build_info", build_info);
    m.def("num_threads", pyconv::num_threads);
    m.def("set_num_threads", pyconv::set_num_threads, "n"_a);
}
