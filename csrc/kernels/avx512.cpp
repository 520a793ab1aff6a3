// The kernels for AVX-512 F, BW, DQ and VL.
#define PYCONV_ISA avx512
#define PYCONV_VECTOR_BYTES 64
#include "table.hpp"
