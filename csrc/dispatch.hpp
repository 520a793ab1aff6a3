// Which instruction set's kernels this process runs.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace pyconv {

// The table in use: the widest one this CPU runs, or the one PYCONV_ISA names. Decided at the first call.
// Throws std::runtime_error when PYCONV_ISA names no instruction set of this build or none of this CPU's.
const Table& kernels();

// Names PYCONV_ISA accepts on this CPU, narrowest first.
std::vector<std::string> supported_isas();

}  // namespace pyconv
