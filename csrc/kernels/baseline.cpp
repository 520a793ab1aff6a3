// The kernels for what every CPU of the platform has (SSE2 on x86-64, NEON on 64-bit ARM).
#define PYCONV_ISA baseline
#define PYCONV_VECTOR_BYTES 16
#include "table.hpp"
