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
        const Index H = input.h, W = input.w, PW = output.w;
        const Index top = strip.begin * stride.h - window.h.pad_before;
        const Index vectors_end = shifts + 2 * rounded_up(PW, L);  // of what whole vectors read, from a row's begin on
        for (Index c = 0; c < CG; ++c, x += H * W) {
            const Index room = divided_up(end - x - vectors_end + 1, W);  // the rows that are followed by as much
            for (Index shift = 0; shift < shifts; ++shift) {
                const Index left = shift - window.w.pad_before;
                const Index first = left < 0 ? smaller(divided_up(-left, stride.w), PW) : 0;
                const Index last = left >= W ? first : larger(first, smaller(divided_up(W - left, stride.w), PW));
                const Index vector_rows = last - first == PW && stride.w == 2 ? smaller(room, H) : 0;
                for (Index line = 0, phase = 0; phase < phases; to += PW) {
                    const Index y = top + phase + line * stride.h;
                    if (++line == lines) line = 0, ++phase;
                    if (y >= 0 && y < vector_rows) {
                        // the next row overwrites what the vectors write beyond this one
                        for (Index px = 0; px < PW; px += L)
                            store<L>(to + px, load_every<L, 2>(x + (y * W + left + 2 * px), 2));
                    } else if (y >= 0 && y < H && first < last) {
                        fill_few(to, first, T(0));
                        copy_every(to + first, x + (y * W + left + first * stride.w), stride.w, last - first);
                        fill_few(to + last, PW - last, T(0));
                    } else {
                        fill_few(to, PW, T(0));
                    }
                }
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

// A row of tiles: `count` filters, at most as many as a tile has, at windows [begin, end) of a strip of `windows`.
template <class T>
struct PooledTiles {
    const T* weights[pooled_tile_rows];  // of the filters; of the last one beyond `count`
    const T* bias;                       // one per filter, or null
    Index count, K;
    const T* columns;
    const Index* offsets;
    Index begin, end, windows;
    T* y;                  // of the first filter and the strip's first window
    std::uint8_t* argmax;  // the same, or null
    Index filter_step;     // from one filter to the next, in y and argmax

    T bias_of(Index filter) const { return bias ? bias[filter] : T(0); }

    // Calls body(columns, y, argmax, both of the first filter) for every vector of windows.
    template <class Body>
    __attribute__((always_inline)) void each_vector(const Body& body) const {
        for (Index next = begin; next < end; next += vector_lanes<T>) {
            const Index p = smaller(next, windows - vector_lanes<T>);  // the last one may overlap the one before
            body(Taps4<T>{columns + p, offsets}, y + p, argmax ? argmax + p : nullptr);
        }
    }
};

// Any sums, a filter at a time: the first NaN of a window wins.
template <class T>
PYCONV_SETUP void pool_tiles_with_nans(const PooledTiles<T>& tiles) {
    constexpr int L = int(vector_lanes<T>);
    const Maximum<T, true> maximum{};
    tiles.each_vector([&](const Taps4<T>& columns, T* y, std::uint8_t* argmax) {
        for (Index i = 0; i < tiles.count; ++i) {
            Vector<T> sum[1][4];
            sum_products(tiles.weights + i, Depth<T>{1, tiles.K, one_line, 1}, columns, sum);
            const T bias = tiles.bias_of(i);
            const Vector<T> first = sum[0][0] + bias;
            auto state = maximum.template start_with<L>(first <= 0 ? Vector<T>{} : first);
            for (Index v = 1; v < 4; ++v) maximum.template take<L>(state, sum[0][v] + bias, v);
            store<L>(y + i * tiles.filter_step, state.best);
            if (argmax) store_bytes<T, L>(argmax + i * tiles.filter_step, state.best_tap);
        }
    });
}

// The same for sums without NaNs, all filters of a tile at once. Answers whether there may be any.
template <class T>
PYCONV_ONCE bool pool_tiles_of_numbers(const PooledTiles<T>& tiles) {
    constexpr int L = int(vector_lanes<T>), rows = pooled_tile_rows;
    using V = Vector<T>;
    V doubt{};  // a NaN where something it is added up from is one
    // Part of this loop, and no function: a call for every tile takes a tenth of the time.
    tiles.each_vector([&](const Taps4<T>& columns, T* y, std::uint8_t* argmax) __attribute__((always_inline)) {
        V sum[rows][4];
        sum_products(tiles.weights, Depth<T>{1, tiles.K, one_line, 1}, columns, sum);
        repeat<rows>([&](auto i) {
            if (i.value >= tiles.count) return;
            const V* const s = sum[i.value];
            const T bias = tiles.bias_of(i.value);
            const Index to = i.value * tiles.filter_step;
            if (!argmax) {  // the largest sum stays the largest with the bias added
                doubt += ((s[0] + s[1]) + (s[2] + s[3])) + bias;
                const V upper = s[0] > s[1] ? s[0] : s[1], lower = s[2] > s[3] ? s[2] : s[3];
                const V best = (upper > lower ? upper : lower) + bias;
                store<L>(y + to, best <= 0 ? V{} : best);
                return;
            }
            const V s0 = s[0] + bias, s1 = s[1] + bias, s2 = s[2] + bias, s3 = s[3] + bias;
            doubt += (s0 + s1) + s2;  // the comparisons below let an s3 that is a NaN win
            // ReLU of the first pixel is enough: another one wins only by being larger, and so above 0.
            const V first = s0 <= 0 ? V{} : s0;
            const auto upper_left = s1 <= first, lower_left = s3 <= s2;
            const V upper = upper_left ? first : s1, lower = lower_left ? s2 : s3;
            const auto above = lower <= upper;
            store<L>(y + to, above ? upper : lower);
            using Tap = WholeLanes<T>;
            const auto upper_tap = upper_left ? broadcast<L>(Tap(0)) : broadcast<L>(Tap(1));
            const auto lower_tap = lower_left ? broadcast<L>(Tap(2)) : broadcast<L>(Tap(3));
            store_bytes<T, L>(argmax + to, above ? upper_tap : lower_tap);
        });
    });
    const T total = sum_lanes<T, L>(doubt);
    return total != total;
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
                const Index to = (n * groups * s.FG + f) * P + strip.begin * g.output.w;
                PooledTiles<T> row{{}, b ? b + f : nullptr, count, s.K, columns, offsets.data(), some.begin * L,
                                   some.end < vectors ? some.end * L : windows, windows, y + to,
                                   argmax ? argmax + to : nullptr, P};
                for (Index i = 0; i < TR; ++i) row.weights[i] = W + (f + smaller(i, count - 1)) * s.K;
                if (pool_tiles_of_numbers(row)) pool_tiles_with_nans(row);
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
