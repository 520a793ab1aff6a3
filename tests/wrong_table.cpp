// A table of kernels of which one is wrong in one place. CI builds an extension module with it, in which check mode
// has to name the place.
#define PYCONV_ISA right
#define PYCONV_VECTOR_BYTES 16
#include "../csrc/kernels/table.hpp"

namespace pyconv::baseline {
namespace {

void wrong_conv2d(const float* x, const float* W, const float* b, float* y, Shape input, Shape filter, Extent output,
                  Window window, Index groups) {
    right::conv2d<float>(x, W, b, y, input, filter, output, window, groups);
    y[77] += 1;
}

Table with_wrong_conv2d() {
    Table table = right::table;
    table.isa = "baseline";
    table.f32.conv2d = wrong_conv2d;
    return table;
}

}  // namespace

extern const Table table = with_wrong_conv2d();

}  // namespace pyconv::baseline
