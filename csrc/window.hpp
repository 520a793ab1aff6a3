// The geometry of a sliding window: the one place in C++ where the output-size formula stands.
//
// Kernel sources compiled for AVX include this file. Its functions are `static` (internal linkage) so that
// the linker can never pick a copy compiled for a newer instruction set and run it on an older CPU.
#pragma once

#include <cstdint>

namespace pyconv {

using Index = std::int64_t;  // signed and 64 bits wide everywhere: images can exceed 2^31 elements

// One axis: `filter` taps, `dilation` apart, moved by `stride` over an input with zeros before and after it.
struct Axis {
    Index filter, stride, dilation, pad_before, pad_after;
};

struct Window {
    Axis h, w;
};

// Images or feature maps, NCHW; filters are (FN, C, FH, FW) in the same struct.
struct Shape {
    Index n, c, h, w;
};

// Rows and columns of an output map: (OH, OW).
struct Extent {
    Index h, w;
};

// Input elements between the first and the last tap, both included.
static inline Index reach(const Axis& axis) { return (axis.filter - 1) * axis.dilation + 1; }

// O = (I + P_before + P_after - reach) / S + 1, floored; 0 where the filter does not fit.
// With ceil_mode the division rounds up, and a last window that would start in the far padding is dropped.
static inline Index positions(const Axis& axis, Index input, bool ceil_mode) {
    const Index room = input + axis.pad_before + axis.pad_after - reach(axis);
    if (room < 0) return 0;
    if (!ceil_mode) return room / axis.stride + 1;
    const Index count = (room + axis.stride - 1) / axis.stride + 1;
    return (count - 1) * axis.stride >= input + axis.pad_before ? count - 1 : count;
}

// Input coordinate under tap `tap` of the window at `position`; outside [0, input) it is padding.
static inline Index source(const Axis& axis, Index position, Index tap) {
    return position * axis.stride + tap * axis.dilation - axis.pad_before;
}

namespace {  // its function, too, must not be shared

// The numbers from begin to end - 1.
struct Range {
    Index begin, end;
    Index size() const { return end - begin; }
};

}  // namespace

// The taps that fall on the input when the window stands at `position`.
static inline Range taps_inside(const Axis& axis, Index position, Index input) {
    const Index start = position * axis.stride - axis.pad_before;
    if (start >= 0 && start + reach(axis) <= input) return {0, axis.filter};  // most windows: no division
    const Index d = axis.dilation;
    const Index begin = start >= 0 ? 0 : (-start + d - 1) / d;
    const Index end = start >= input ? 0 : (input - start + d - 1) / d;
    const Index last = end < axis.filter ? end : axis.filter;
    return {begin < last ? begin : last, last};
}

}  // namespace pyconv
