// Registers the functions of the extension module. Those on arrays stand in the headers beside this file, named as
// their kernels' are; each does five things: check, allocate, release the GIL, call a kernel of the table in use,
// return.
#include <vector>

#include "../parallel.hpp"
#include "affine.hpp"
#include "chain.hpp"
#include "columns.hpp"
#include "convolution.hpp"
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
}  // namespace pyconv::bindings

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
    using namespace pyconv::bindings;
    using namespace py::literals;
    m.doc() = "The compiled kernels of pyconv. Call them through the functions of pyconv, which check and explain.";
    pyconv::kernels();  // a wrong PYCONV_ISA is an error of the import, not of the first call
    register_kernels<float>(m);
    register_kernels<double>(m);
    m.def("chain", chain, "calls"_a);
    m.def("same_objects", same_objects, "now"_a, "then"_a);
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
