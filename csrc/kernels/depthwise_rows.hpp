// Depthwise convolution with small square filters, by rows that are read where they lie in memory.
//
// A row of output is a few vectors, the last ending where the row does. A vector of pixels under a tap may reach over
// the ends of its row: what lies there is not padding but the neighbouring row. A mask clears these lanes. So the only
// pixels that have to be copied are those so near to the ends of the array that a vector would leave it.
//
// A vector's column is walked down line by line, a line being an input row under the strip. Each pixel is loaded once
// per tap of a row and serves all rows of the filter: with stride S, line S*i + phase is under tap row S*j + phase for
// output row i - j.
#pragma once

#include "geometry.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

template <class T>
using Mask = typename Whole<T>::Type;  // -1 where a lane counts, else 0

// A vector with zeros in the lanes that do not count.
template <int N, class V, class M>
inline V masked(V values, M mask) {
    return (V)((M)values & mask);
}

// Asks for the cache line at *next, and moves on to the one behind. Columns of vectors are walked down in steps of a
// row, from which the processor cannot guess what comes next; memory gives most when it is asked for lines in order.
template <class T>
inline void prefetch(const T** next) {
    __builtin_prefetch(*next, 0, 2);
    *next += 64 / Index(sizeof(T));
}

// Input rows under a strip of output rows of one plane.
template <class T>
struct Lines {
    const T* first;  // pixel under tap (0, 0) of output column 0 in line inside.begin, or where it would lie
    Range inside;    // the lines that are no padding
    Index width;
};

// How rows of output are cut into vectors, and planes into strips of rows.
struct RowCuts {
    Index lanes, columns, last_start;  // lanes of a vector, vectors of a row, where the last one starts
    Index rows, per_plane;             // of a strip, strips of a plane
    Index before, behind;              // elements read before the first row of a strip and behind its last

    // Strips of large planes: to stay in the cache, and yet have few lines in common.
    RowCuts(const Geometry& g, Index lanes_)
        : lanes(lanes_), columns(divided_up(g.output.w, lanes)), last_start(larger(g.output.w - lanes, 0)) {
        const Index most = larger(4096 / g.output.w, 16);
        per_plane = divided_up(g.output.h, most);
        rows = divided_up(g.output.h, per_plane);
        before = larger(g.window.w.pad_before, 0);
        const Index last_read = source(g.window.w, last_start + lanes - 1, g.window.w.filter - 1);
        behind = larger(last_read + 1 - g.input.w, 0);
    }

    Index start(Index column) const { return smaller(column * lanes, last_start); }
    Range strip(const Geometry& g, Index at) const { return {at * rows, smaller((at + 1) * rows, g.output.h)}; }
    Index first_row(const Geometry& g, Index unit) const {
        return unit / per_plane * g.output.h + unit % per_plane * rows;
    }
    Index lines_size(const Geometry& g) const { return before + g.lines_under(rows) * g.input.w + behind; }
    Index masks_size(const Geometry& g) const { return columns * (g.window.w.filter + 1) * lanes; }

    // For each vector of a row the masks (FW + 1, lanes): of the pixels under each tap those inside the image, and
    // then all. `each_once`: leaves out lanes that the vector before has, and those behind the row.
    template <class T>
    PYCONV_ONCE void find_masks(const Geometry& g, bool each_once, T* masks) const {
        for (Index column = 0; column < columns; ++column)
            for (Index fx = 0; fx <= g.window.w.filter; ++fx)
                for (Index lane = 0; lane < lanes; ++lane) {
                    const Index x = start(column) + lane, at = source(g.window.w, x, fx);
                    const bool inside = fx == g.window.w.filter || (at >= 0 && at < g.input.w);
                    const bool counts = !each_once || (x >= column * lanes && x < g.output.w);
                    *masks++ = inside && counts ? -1 : 0;
                }
    }

    // The lines under rows [strip.begin, strip.end) of a plane, by way of `copies` where vectors would leave x.
    template <class T>
    PYCONV_ONCE Lines<T> lines(const Geometry& g, const T* x, Index plane, Range strip, T* copies) const {
        const Index H = g.input.h, W = g.input.w, first = source(g.window.h, strip.begin, 0);
        const Index begin = larger(-first, 0), end = larger(smaller(g.lines_under(strip.size()), H - first), begin);
        if (begin == end) return {copies, {0, 0}, W};
        const Index at = (plane * H + first + begin) * W, size = (end - begin) * W, shift = g.window.w.pad_before;
        const bool in_place = at >= before && at + size + behind <= g.input.n * g.input.c * H * W;
        if (in_place) return {x + at - shift, {begin, end}, W};
        copy(copies + before, x + at, size);
        return {copies + before - shift, {begin, end}, W};
    }
};

// Calls body(Constant<lanes>(), Constant<filter size>(), Constant<stride>()) if there are kernels for this window, of
// filters up to `largest`; answers whether there are. Where half a vector's lanes cover a row, half they are.
template <class T, int largest, class Body>
inline bool with_row_kernel(const Geometry& g, const Body& body) {
    constexpr int L = int(vector_lanes<T>);
    const Axis &h = g.window.h, &w = g.window.w;
    if (h.stride != w.stride || h.dilation != 1 || w.dilation != 1 || h.filter != w.filter) return false;
    const auto has = [&](auto filter, auto stride) {
        if (h.filter != filter.value || h.stride != stride.value) return false;
        if constexpr (L > 8)
            if (g.output.w <= L / 2) return body(Constant<L / 2>(), filter, stride), true;
        return body(Constant<L>(), filter, stride), true;
    };
    if (has(Constant<3>(), Constant<1>())) return true;
    if constexpr (hurries<T>) {
        if constexpr (largest >= 7)
            if (has(Constant<7>(), Constant<1>())) return true;
        return has(Constant<5>(), Constant<1>()) || has(Constant<3>(), Constant<2>()) ||
               has(Constant<5>(), Constant<2>());
    }
    return false;
}

template <class T>
using FilterStrip = void (*)(const RowCuts&, const Lines<T>&, Index, const T*, const Index*, T, const Mask<T>*, T*,
                             Index);
template <class T>
using SumStrip = void (*)(const RowCuts&, const Lines<T>&, Index, const T*, Index, const Mask<T>*, T*);

// y (rows, OW) of a strip: whole vectors, so that with rows narrower than a vector the last one reaches beyond.
template <int N, int F, int S, class T>
void filter_strip(const RowCuts& cuts, const Lines<T>& lines, Index rows, const T* weights, const Index* order, T b,
                  const Mask<T>* masks, T* y, Index OW) {
    using V = Lanes<T, N>;
    constexpr int open = (F + S - 1) / S;  // output rows that a line is under
    static_assert((F - 1) % S == 0, "the first of S lines completes a row");
    const V bias = broadcast<N>(b);
    const Range inside = lines.inside;
    const Index W = lines.width, columns = cuts.columns, steps = rows + open - 1;
    const T *next = lines.first + rows * S * W, *next_y = y + rows * OW;  // those of the strip behind
    V w[F * F];
    repeat<F * F>([&](auto t) { w[t.value] = broadcast<N>(weights[order[t.value]]); });
    for (Index column = 0; column < columns; ++column, masks += (F + 1) * N) {
        const T* from = lines.first + cuts.start(column) * S;
        T* to = y + cuts.start(column);
        WholeLanes<T, N> mask[F];
        repeat<F>([&](auto fx) { mask[fx.value] = load<N>(masks + fx.value * N); });
        V sums[open];
        repeat<open>([&](auto j) { sums[j.value] = bias; });
        for (Index step = 0; step < steps; ++step) {
            repeat<S>([&](auto phase) {
                const Index line = step * S + phase.value;
                prefetch(&next);
                if (line >= inside.begin && line < inside.end) {
                    repeat<F>([&](auto fx) {
                        const V pixels = masked<N>(load_every<N, S>(from + fx.value, S), mask[fx.value]);
                        repeat<open>([&](auto j) {
                            constexpr int fy = S * decltype(j)::value + decltype(phase)::value;
                            if constexpr (fy < F) sums[j.value] += w[fy * F + fx.value] * pixels;
                        });
                    });
                    from += W;
                }
                if (phase.value == 0 && step >= open - 1) {
                    prefetch(&next_y);
                    store<N>(to, sums[open - 1]);
                    to += OW;
                }
            });
            repeat<open - 1>([&](auto j) { sums[open - 1 - j.value] = sums[open - 2 - j.value]; });
            sums[0] = bias;
        }
    }
}

// Adds a strip's products to sums (F * F + 1, N): of each tap, and behind them the gradient's own sum.
template <int N, int F, int S, class T>
void sum_strip(const RowCuts& cuts, const Lines<T>& lines, Index rows, const T* dout, Index OW, const Mask<T>* masks,
               T* sums) {
    using V = Lanes<T, N>;
    constexpr int open = (F + S - 1) / S;  // output rows that a line is under
    const Range inside = lines.inside;
    const Index W = lines.width, columns = cuts.columns, steps = rows + open - 1;
    const T *next = lines.first + rows * S * W, *next_gradients = dout + rows * OW;  // those of the strip behind
    // Masks are held in registers if these suffice for the sums, the gradients and a vector of pixels, too.
    constexpr bool hold_masks = F * F + 1 + F + 1 + open + 1 <= vector_registers;
    V sum[F * F + 1];
    repeat<F * F + 1>([&](auto t) { sum[t.value] = load<N>(sums + t.value * N); });
    for (Index column = 0; column < columns; ++column, masks += (F + 1) * N) {
        const T* from = lines.first + cuts.start(column) * S;
        const T* gradients = dout + cuts.start(column);
        WholeLanes<T, N> held[F + 1];
        repeat<F + 1>([&](auto fx) { held[fx.value] = load<N>(masks + fx.value * N); });
        const auto mask = [&](auto fx) { return hold_masks ? held[fx.value] : load<N>(masks + fx.value * N); };
        V gradient[open] = {};
        for (Index step = 0; step < steps; ++step) {
            repeat<open - 1>([&](auto j) { gradient[open - 1 - j.value] = gradient[open - 2 - j.value]; });
            // The compiler must not see that the masks of the next line are the same: it would hold them in registers.
            if constexpr (!hold_masks) asm volatile("" : "+r"(masks));
            if (step < rows) {
                gradient[0] = masked<N>(load<N>(gradients), mask(Constant<F>()));
                sum[F * F] += gradient[0];
                prefetch(&next_gradients);
                gradients += OW;
            }
            repeat<S>([&](auto phase) {
                const Index line = step * S + phase.value;
                prefetch(&next);
                if (line < inside.begin || line >= inside.end) return;
                const auto add = [&](const auto& sees) {
                    repeat<F>([&](auto fx) {
                        const V pixels = masked<N>(load_every<N, S>(from + fx.value, S), mask(fx));
                        repeat<open>([&](auto j) {
                            constexpr int fy = S * decltype(j)::value + decltype(phase)::value;
                            if constexpr (fy < F)
                                if (sees(j.value)) sum[fy * F + fx.value] += gradient[j.value] * pixels;
                        });
                    });
                };
                // a tap that does not see the line is left out: 0 * NaN is not 0
                if (step >= open - 1 && step < rows)
                    add([](int) { return true; });
                else
                    add([&](int j) { return step >= j && step - j < rows; });
                from += W;
            });
        }
    }
    repeat<F * F + 1>([&](auto t) { store<N>(sums + t.value * N, sum[t.value]); });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
