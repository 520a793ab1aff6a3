// Convolution, bias, ReLU and 2x2 max-pooling without leaving the registers.
//
//   x          (N, C, H, W)       C = groups * CG
//   W          (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   y, argmax  (N, FN, PH, PW)    PH = OH / 2, PW = OW / 2, floored
//
// A tile of the product has pooling windows for columns: its four vectors are the four pixels of a vector's windows,
// so that the largest of four sums is taken where the sums were made. For that the input rows under a strip of
// windows are copied once for every tap's distance from the left edge of its window,
//
//   columns (channel, shift, phase, line, px)   x[channel][stride * line + phase][stride * px + shift]
//
// with the strides of the windows, twice those of the convolution. What one tap sends to one pixel of all windows is
// then one run in memory, and a table says where it begins. That is im2col along x alone.
#pragma once

#include "convolution.hpp"
#include "pooling.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_columns = 1 << 16;  // numbers of the copied columns that a strip should have

// Filters of a tile of four vectors.
constexpr int pooled_tile_rows = int(tile_rows * tile_vectors / 4);

template <class T>
struct PooledGeometry {
    Shape input;
    Window window;  // of the convolution
    Extent output;  // pooled
    Index strips;  // of an image
    Extent stride;
    Index shifts, phases, lines;

    PYCONV_SETUP PooledGeometry(Shape input_, Extent convolved, const Window& window_, Index CG)
        : input(input_), window(window_), output{convolved.h / 2, convolved.w / 2},
          stride{2 * window.h.stride, 2 * window.w.stride},
          shifts(reach(window.w) + window.w.stride), phases(smaller(reach(window.h) + window.h.stride, stride.h)) {
        const Index row = CG * shifts * phases * output.w;
        const Index fitting = larger(most_columns / row, divided_up(vector_lanes<T>, output.w));
        strips = output.h / smaller(fitting, output.h);
        lines = divided_up(output.h, strips) + (reach(window.h) + window.h.stride - 1) / stride.h;
    }

    Index shift_size() const { return phases * lines * output.w; }
    Index channel_size() const { return shifts * shift_size(); }

    // For every tap of CG channels, where it begins in the columns for each of the four pixels of a strip's windows.
    void find_offsets(Index CG, Index* to) const {
        for (Index c = 0; c < CG; ++c)
            for (Index fy = 0; fy < window.h.filter; ++fy) {
                Index line[2];  // under the upper pixels and the lower ones; divisions are slow
                for (Index wy = 0; wy < 2; ++wy) {
                    const Index y = wy * window.h.stride + fy * window.h.dilation;
                    line[wy] = c * channel_size() + (y % stride.h * lines + y / stride.h) * output.w;
                }
                for (Index fx = 0; fx < window.w.filter; ++fx)
                    for (Index v = 0; v < 4; ++v)
                        *to++ = line[v / 2] + (v % 2 * window.w.stride + fx * window.w.dilation) * shift_size();
            }
    }

    // Copies the columns of CG channels under pooled rows [strip.begin, strip.end) of an image. `end`: of the array.
    // `to` has room for a vector behind its end.
    void copy_columns(const T* x, const T* end, Index CG, Range strip, T* to) const {
        constexpr int L = int(vector_lanes<T>);
        const Index H = input.h, W = input.w;
        const Index top = strip.begin * stride.h - window.h.pad_before;
        for (Index c = 0; c < CG; ++c, x += H * W)
            for (Index shift = 0; shift < shifts; ++shift) {
                const Index left = shift - window.w.pad_before;
                const Index first = left < 0 ? smaller(divided_up(-left, stride.w), output.w) : 0;
                const Index last = left >= W ? first : larger(first, smaller(divided_up(W - left, stride.w), output.w));
                for (Index phase = 0; phase < phases; ++phase)
                    for (Index line = 0; line < lines; ++line, to += output.w) {
                        const Index y = top + line * stride.h + phase;
                        if (y < 0 || y >= H) {
                            fill_few(to, output.w, T(0));
                            continue;
                        }
                        const Index from = y * W + left;
                        const bool whole = last - first == output.w;
                        if (whole && stride.w == 2 && end - x >= from + 2 * rounded_up(output.w, L)) {
                            // by whole vectors: the next row overwrites what they write beyond this one
                            for (Index i = 0; i < output.w; i += L)
                                store<L>(to + i, load_every<L, 2>(x + from + 2 * i, 2));
                            continue;
                        }
                        fill_few(to, first, T(0));
                        if (first < last)
                            copy_every(to + first, x + (from + first * stride.w), stride.w, last - first);
                        fill_few(to + last, output.w - last, T(0));
                    }
            }
    }
};

// The four vectors of a step of depth, each from where the table says.
template <class T>
struct Taps4 {
    const T* from;
    const Index* offsets;

    Vector<T> vector(int v) const { return load<int(vector_lanes<T>)>(from + offsets[v]); }
    void next() { offsets += 4; }
};

// One tile: `rows` filters at the windows of a vector. Only the first `count` are wanted.
template <int rows, class T>
void pool_tile(const T* const* weights, Index K, Taps4<T> columns, const T* bias, Index count,
               Maximum<T, true> out, Index filter_step) {
    constexpr int L = int(vector_lanes<T>);
    Vector<T> sum[rows][4];
    sum_products(weights, Depth<T>{1, K, one_line, 1}, columns, sum);
    repeat<rows>([&](auto i) {
        if (i.value >= count) return;
        const T b = bias ? bias[i.value] : T(0);
        // ReLU of the first pixel is enough: another one wins only by being larger, and so above 0.
        const Vector<T> first = sum[i.value][0] + b;
        auto state = out.template start_with<L>(first <= 0 ? Vector<T>{} : first);
        repeat<3>([&](auto v) { out.template take<L>(state, sum[i.value][v.value + 1] + b, v.value + 1); });
        store<L>(out.y + i.value * filter_step, state.best);
        if (out.argmax)
            store_bytes<T, L>(static_cast<std::uint8_t*>(out.argmax) + i.value * filter_step, state.best_tap);
    });
}

// Whether an image has a whole vector of windows, and a row of them not too many columns.
template <class T>
bool pools_in_registers(Shape input, Extent convolved, const Window& window, Extent pool, Index CG) {
    if (pool.h != 2 || pool.w != 2 || (convolved.h / 2) * (convolved.w / 2) < vector_lanes<T>) return false;
    const PooledGeometry<T> g(input, convolved, window, CG);
    return CG * g.channel_size() <= 8 * most_columns;
}

template <class T>
void convolve_and_pool(const T* x, const T* W, const T* b, T* y, std::uint8_t* argmax, Shape input, Extent convolved,
                       const Window& window, const Sizes& s, Index groups) {
    constexpr Index L = vector_lanes<T>, TR = pooled_tile_rows;
    const PooledGeometry<T> g(input, convolved, window, s.CG);
    // A unit of work is a tile: TR filters of a group at one vector of a strip's windows. `vectors`: the whole ones of
    // the lowest strip; the last of them takes what is left of its strip as well.
    const Index vectors = g.output.h / g.strips * g.output.w / L, tiles = divided_up(s.FG, TR) * vectors;
    const Index P = g.output.h * g.output.w, units = input.n * g.strips * groups * tiles;
    const int parts = threads_for(units, double(input.n * groups) * double(s.FG * s.K) * double(s.P));
    const Index part_size = rounded_up(s.CG * g.channel_size() + L, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> offsets(4 * s.K);
    g.find_offsets(s.CG, offsets.data());
    run_each(parts, [&](int part) {
        T* const columns = scratch.data() + part * part_size;
        const Range mine = share(units, parts, part);
        for (Index unit = mine.begin; unit < mine.end;) {
            // the tiles of one strip and group that are this part's
            const Index group = unit / tiles % groups, at = unit / tiles / groups, n = at / g.strips;
            const Range strip = share(g.output.h, int(g.strips), int(at % g.strips));
            const Range mine_here{unit % tiles, smaller(tiles, unit % tiles + mine.end - unit)};
            unit += mine_here.size();
            const Index group_size = s.CG * input.h * input.w;
            g.copy_columns(x + (n * groups + group) * group_size, x + input.n * groups * group_size, s.CG, strip,
                           columns);
            const Index windows = strip.size() * g.output.w;
            for (Index tile = mine_here.begin; tile < mine_here.end;) {
                const Index first_f = tile / vectors * TR, f = group * s.FG + first_f;
                const Index count = smaller(TR, s.FG - first_f);
                const Range some{tile % vectors, smaller(vectors, tile % vectors + mine_here.end - tile)};
                tile += some.size();
                const T* rows[TR];
                for (Index i = 0; i < TR; ++i) rows[i] = W + (f + smaller(i, count - 1)) * s.K;
                const Index to = (n * groups * s.FG + f) * P + strip.begin * g.output.w;
                const Index end = some.end < vectors ? some.end * L : windows;
                for (Index next = some.begin * L; next < end; next += L) {
                    const Index p = smaller(next, windows - L);  // the last vector may overlap the one before
                    pool_tile<TR>(rows, s.K, Taps4<T>{columns + p, offsets.data()}, b ? b + f : nullptr, count,
                                  Maximum<T, true>{y + to + p, argmax ? argmax + to + p : nullptr, 1}, P);
                }
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
