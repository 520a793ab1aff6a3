// The kernels for AVX2 and FMA.
#define PYCONV_ISA avx2
#define PYCONV_VECTOR_BYTES 32
#include "table.hpp"
