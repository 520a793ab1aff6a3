// Every kernel of kernels.hpp, compiled for the instruction set that the including source file names.
#pragma once

#include "../kernels.hpp"
#include "affine.hpp"
#include "block.hpp"
#include "columns.hpp"
#include "convolution_data.hpp"
#include "convolution_weight.hpp"
#include "peak.hpp"
#include "pooling_backward.hpp"
#include "update.hpp"

#define PYCONV_STRING_(text) #text
#define PYCONV_STRING(text) PYCONV_STRING_(text)

namespace pyconv::PYCONV_ISA {

#define PYCONV_ADDRESS(name, parameters) name<T>,
template <class T>
static constexpr Kernels<T> table_of() {
    return {PYCONV_KERNELS(PYCONV_ADDRESS)};
}
#undef PYCONV_ADDRESS

extern const Table table = {PYCONV_STRING(PYCONV_ISA), table_of<float>(), table_of<double>(),
                            {peak_multiply_adds, peak_copy}};

}  // namespace pyconv::PYCONV_ISA
