// Convolution of few channels or filters without packing, and convolution, bias, ReLU and 2x2 max-pooling in registers.
//
//   x          (N, C, H, W)       C = groups * CG
//   W          (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   y, argmax  (N, FN, PH, PW)    the convolution's output, or with pooling a half of its height and width, floored
//
// The input rows under a strip of y are copied once for every tap's distance from the left edge of what y[.., px] sees,
// which is the filter's window or, with pooling, that of four pixels:
//
//   columns (channel, shift, phase, line, px)   x[channel][stride * line + phase][stride * px + shift]
//
// with the strides of y, which pooling doubles. What one tap sends to all positions of y is then one run in memory, and
// a table says where it begins. That is im2col along x alone.
//
// A tile is four vectors of sums for each of some filters: those of neighbouring positions, or with pooling the four
// pixels of a vector's windows, so that the largest of four sums is taken where the sums were made.
#pragma once

#include "geometry.hpp"
#include "pooling.hpp"
#include "tile.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_columns = 1 << 16;  // numbers of the copied columns that a strip should have
constexpr Index few_filters = 8;         // so many do not make packing worth its while

// Filters of a tile.
constexpr int direct_rows = int(tile_rows * tile_vectors / 4);

// `pool`: 2, or 1 where the convolution's output is wanted.
template <class T>
struct DirectGeometry {
    Shape input;
    Window window;  // of the convolution
    Index pool;
    Extent output;         // y's
    Index tile_positions;  // of y, in a tile
    Extent stride;
    Index shifts, phases, lines;
    Index strips;    // of an image
    double columns;  // numbers of them

    PYCONV_SETUP DirectGeometry(Shape input_, Extent convolved, const Window& window_, Index CG, Index pool_)
        : input(input_), window(window_), pool(pool_), output{convolved.h / pool, convolved.w / pool},
          tile_positions((pool == 1 ? 4 : 1) * vector_lanes<T>), stride{pool * window.h.stride, pool * window.w.stride},
          shifts(reach(window.w) + (pool - 1) * window.w.stride) {
        const Index rows_seen = reach(window.h) + (pool - 1) * window.h.stride;
        phases = smaller(rows_seen, stride.h);
        // Windows may reach so far, through padding, that no integer holds these.
        const double row = double(CG) * double(shifts) * double(phases) * double(output.w);
        const Index fitting = larger(Index(double(most_columns) / row), divided_up(tile_positions, output.w));
        strips = output.h / smaller(fitting, output.h);
        lines = divided_up(output.h, strips) + (rows_seen - 1) / stride.h;
        columns = row * double(lines);
    }

    Index shift_size() const { return phases * lines * output.w; }
    Index channel_size() const { return shifts * shift_size(); }

    // Whether a strip has a whole tile of positions and not too many columns. Without pooling, what it takes beside
    // packing must not be lost on positions that are computed twice; packing for few filters takes longer.
    bool fits(Index FG) const {
        const Index positions = output.h / strips * output.w, computed = rounded_up(positions, tile_positions);
        const bool lost = FG > few_filters ? 8 * computed > 9 * positions : 3 * computed > 4 * positions;
        return positions >= tile_positions && columns <= double(8 * most_columns) && (pool > 1 || !lost);
    }

    // For every tap of CG channels, where it begins in the columns for each of a tile's four vectors.
    void find_offsets(Index CG, Index* to) const {
        for (Index c = 0; c < CG; ++c)
            for (Index fy = 0; fy < window.h.filter; ++fy) {
                Index line[2];  // under the upper pixels and the lower ones; divisions are slow
                for (Index wy = 0; wy < 2; ++wy) {
                    const Index y = wy * window.h.stride + fy * window.h.dilation;
                    line[wy] = c * channel_size() + (y % stride.h * lines + y / stride.h) * output.w;
                }
                for (Index fx = 0; fx < window.w.filter; ++fx)
                    for (Index v = 0; v < 4; ++v) {
                        const Index shift = fx * window.w.dilation + (pool > 1 ? v % 2 * window.w.stride : 0);
                        const Index at = shift * shift_size();
                        *to++ = pool > 1 ? line[v / 2] + at : line[0] + at + v * vector_lanes<T>;
                    }
            }
    }

    // Copies the columns of CG channels under rows [strip.begin, strip.end) of an image's y. `end`: of the array x.
    // `to` has room for a vector behind its end.
    void copy_columns(const T* x, const T* end, Index CG, Range strip, T* to) const {
        const Index H = input.h, W = input.w, PW = output.w, line_step = stride.h * W, every = stride.w;
        const Index top = strip.begin * stride.h - window.h.pad_before;
        for (Index c = 0; c < CG; ++c, x += H * W) {
            // the rows behind whose first pixel the array still holds all that whole vectors read
            const Index row_reads = shifts + stride.w * rounded_up(PW, vector_lanes<T>);
            const Index readable_rows = smaller(divided_up(end - x - row_reads + 1, W), H);
            for (Index shift = 0; shift < shifts; ++shift) {
                const Index left = shift - window.w.pad_before;
                const Index first = left < 0 ? smaller(divided_up(-left, stride.w), PW) : 0;
                const Index last = left >= W ? first : larger(first, smaller(divided_up(W - left, stride.w), PW));
                const Index vector_rows = last - first == PW && stride.w <= 2 ? readable_rows : 0;
                for (Index phase = 0; phase < phases; ++phase) {
                    const Index y = top + phase;  // of the first line
                    const Index above = lines_before(y, 0), below = lines_before(y, H);
                    const Index by_vectors = larger(lines_before(y, vector_rows), above);
                    const T* from = x + (above < below ? y * W + above * line_step + left : 0);
                    to = clear_rows(above, to);
                    to = stride.w == 1 ? copy_vectors<1>(from, by_vectors - above, to)
                                       : copy_vectors<2>(from, by_vectors - above, to);
                    from += (by_vectors - above) * line_step + first * every;
                    if (by_vectors < below) {
                        T* const others = to;
                        to = clear_rows(below - by_vectors, to);
                        copy_every(every, from, line_step, below - by_vectors, last - first, others + first, PW);
                    }
                    to = clear_rows(lines - below, to);
                }
            }
        }
    }

    // The sum of the squares of the pixels that those columns are copied from.
    T sum_input_squares(const T* x, Index CG, Range strip) const {
        const Index top = strip.begin * stride.h - window.h.pad_before;
        const Index begin = smaller(larger(top, 0), input.h), end = smaller(top + lines * stride.h, input.h);
        T squares = 0;
        for (Index c = 0; c < CG && begin < end; ++c, x += input.h * input.w)
            squares += sum_squares(x + begin * input.w, (end - begin) * input.w);
        return squares;
    }

private:
    // How many lines, of which the first is input row y and the others stride.h apart, lie before an input row.
    Index lines_before(Index y, Index row) const {
        return y >= row ? 0 : smaller(divided_up(row - y, stride.h), lines);
    }

    // These write `count` rows of columns and answer where the next one begins, which overwrites what the last vector
    // leaves behind a row's end.
    T* clear_rows(Index count, T* to) const {
        constexpr int L = int(vector_lanes<T>);
        T* const end = to + count * output.w;
        for (; to < end; to += L) store<L>(to, Vector<T>{});
        return end;
    }

    template <int step>
    T* copy_vectors(const T* from, Index count, T* to) const {
        constexpr int L = int(vector_lanes<T>);
        const Index width = output.w, from_step = stride.h * input.w;
        for (; count > 0; --count, from += from_step, to += width)
            for (Index px = 0; px < width; px += L) store<L>(to + px, load_every<L, step>(from + step * px, step));
        return to;
    }
};

// The four vectors of a step of depth, each from where the table says; Depth's b_step counts for nothing.
template <class T>
struct Taps4 {
    const T* from;
    const Index* offsets;

    Vector<T> vector(int v) const { return load<int(vector_lanes<T>)>(from + offsets[v]); }
    void next() { offsets += 4; }
};

// A row of tiles: `count` filters, at most as many as a tile has, at positions [begin, end) of the `positions` of a
// strip of y.
template <class T>
struct DirectTiles {
    const T* weights[direct_rows];  // of the filters; of the last one beyond `count`
    const T* bias;                  // one per filter, or null
    Index count, K;
    const T* columns;
    const Index* offsets;
    Index begin, end, positions;
    T* y;                          // of the first filter and the strip's first position
    std::uint8_t* argmax;          // the same, or null
    Index filter_step;             // from one filter to the next, in y and argmax

    T bias_of(Index filter) const { return bias ? bias[filter] : T(0); }

    // Calls body(columns, y, argmax, both of the first filter) for every tile of `step` positions. Part of the function
    // that calls it, as `body` should be: a call for every tile takes a tenth of the time.
    template <Index step, class Body>
    __attribute__((always_inline)) void each(const Body& body) const {
        for (Index next = begin; next < end; next += step) {
            const Index p = smaller(next, positions - step);  // the last one may overlap the one before
            body(Taps4<T>{columns + p, offsets}, y + p, argmax ? argmax + p : nullptr);
        }
    }
};

// y = the sums, with their bias and maybe ReLU
template <int rows, class T>
PYCONV_ONCE void store_tiles(const DirectTiles<T>& tiles, bool relu) {
    constexpr int L = int(vector_lanes<T>);
    tiles.template each<4 * L>([&](const Taps4<T>& columns, T* y, std::uint8_t*) __attribute__((always_inline)) {
        // y's cache lines arrive while the sums are made.
        for (Index i = 0; i < tiles.count; ++i)
            repeat<4>([&](auto v) { __builtin_prefetch(y + i * tiles.filter_step + v.value * L, 1); });
        Vector<T> sum[rows][4];
        sum_products(tiles.weights, Depth<T>{1, tiles.K, one_line, 1}, columns, sum);
        repeat<rows>([&](auto i) {
            if (i.value >= tiles.count) return;
            const T bias = tiles.bias_of(i.value);
            T* const to = y + i.value * tiles.filter_step;
            repeat<4>([&](auto v) { store<L>(to + v.value * L, sum[i.value][v.value] + bias); });
        });
        if (relu)
            for (Index i = 0; i < tiles.count; ++i) {
                T* const to = y + i * tiles.filter_step;
                pass_relu(to, to, to, 4 * L);
            }
    });
}

// y, argmax = the largest of four sums, whatever they are, a filter at a time: the first NaN of a window wins.
template <class T>
PYCONV_SETUP void pool_tiles_with_nans(const DirectTiles<T>& tiles) {
    constexpr int L = int(vector_lanes<T>);
    const Maximum<T, true> maximum{};
    tiles.template each<L>([&](const Taps4<T>& columns, T* y, std::uint8_t* argmax) {
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

// The same for sums that are no NaNs, all filters of a tile at once.
template <int rows, class T>
PYCONV_ONCE void pool_tiles_of_numbers(const DirectTiles<T>& tiles) {
    constexpr int L = int(vector_lanes<T>);
    using V = Vector<T>;
    tiles.template each<L>([&](const Taps4<T>& columns, T* y, std::uint8_t* argmax) __attribute__((always_inline)) {
        V sum[rows][4];
        sum_products(tiles.weights, Depth<T>{1, tiles.K, one_line, 1}, columns, sum);
        repeat<rows>([&](auto i) {
            if (i.value >= tiles.count) return;
            const V* const s = sum[i.value];
            const T bias = tiles.bias_of(i.value);
            const Index to = i.value * tiles.filter_step;
            if (!argmax) {  // the largest sum stays the largest with the bias added
                const V upper = s[0] > s[1] ? s[0] : s[1], lower = s[2] > s[3] ? s[2] : s[3];
                const V best = (upper > lower ? upper : lower) + bias;
                store<L>(y + to, best <= 0 ? V{} : best);
                return;
            }
            const V s0 = s[0] + bias, s1 = s[1] + bias, s2 = s[2] + bias, s3 = s[3] + bias;
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
}

// How a group's filters are cut into tiles: so many of direct_rows, then, as mostly empty ones of six would waste too
// much, those of fewer.
template <class T>
struct FilterTiles {
    static constexpr int few = is_avx512_float<T> ? 4 : direct_rows;
    Index filters, whole, fewer;

    explicit FilterTiles(Index filters_) : filters(filters_), fewer(0) {
        const Index left = filters % direct_rows;
        if (few < direct_rows && left > 0 && left < direct_rows - 1)  // two of 4 where 1 or 2 are left of 6
            fewer = left <= 2 && filters > left ? 2 : 1;
        whole = divided_up(filters - fewer * few, direct_rows);
    }

    Index count() const { return whole + fewer; }

    Range at(Index tile) const {
        if (tile < whole) return {tile * direct_rows, smaller((tile + 1) * direct_rows, filters)};
        const Index begin = whole * direct_rows + (tile - whole) * few;
        return {begin, smaller(begin + few, filters)};
    }
};

// argmax may be null. With pooling, ReLU is taken in any case.
template <class T>
PYCONV_ONCE void convolve_direct(const T* x, const T* W, const T* b, T* y, std::uint8_t* argmax,
                                 const DirectGeometry<T>& g, const Sizes& s, Index groups, bool relu) {
    const Index step = g.tile_positions;
    const FilterTiles<T> filter_tiles(s.FG);
    // A unit of work is a tile of a strip. `across`: the whole ones in a row of the lowest strip; the last of them
    // takes what is left of its strip as well.
    const Index across = g.output.h / g.strips * g.output.w / step, tiles = filter_tiles.count() * across;
    const Index P = g.output.h * g.output.w, units = g.input.n * g.strips * groups * tiles;
    const int parts = threads_for(units, double(g.input.n * groups) * double(s.FG * s.K) * double(s.P));
    const Index part_size = rounded_up(s.CG * g.channel_size() + vector_lanes<T>, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> offsets(4 * s.K);
    g.find_offsets(s.CG, offsets.data());
    const Index FN = groups * s.FG;
    const T weight_squares = g.pool == 1 ? T(0) : sum_squares(W, FN * s.K) + (b ? sum_squares(b, FN) : T(0));
    run_each(parts, [&](int part) {
        T* const columns = scratch.data() + part * part_size;
        const Range mine = share(units, parts, part);
        for (Index unit = mine.begin; unit < mine.end;) {
            // the tiles of one strip and group that are this part's
            const Index group = unit / tiles % groups, at = unit / tiles / groups, n = at / g.strips;
            const Range strip = share(g.output.h, int(g.strips), int(at % g.strips));
            const Range mine_here{unit % tiles, smaller(tiles, unit % tiles + mine.end - unit)};
            unit += mine_here.size();
            const Index group_size = s.CG * g.input.h * g.input.w;
            const T* const group_x = x + (n * groups + group) * group_size;
            g.copy_columns(group_x, x + g.input.n * groups * group_size, s.CG, strip, columns);
            // By the inequality of Cauchy and Schwarz, no sum of products is larger than the root of this: where it is
            // finite, so are they, and none is a NaN.
            const T bound = g.pool == 1 ? T(0) : g.sum_input_squares(group_x, s.CG, strip) * weight_squares;
            const bool numbers = bound < T(__builtin_inf());
            const Index positions = strip.size() * g.output.w;
            for (Index tile = mine_here.begin; tile < mine_here.end;) {
                const Range filters = filter_tiles.at(tile / across);
                const Range some{tile % across, smaller(across, tile % across + mine_here.end - tile)};
                tile += some.size();
                const Index f = group * s.FG + filters.begin, count = filters.size();
                const Index to = (n * FN + f) * P + strip.begin * g.output.w;
                DirectTiles<T> row{{}, b ? b + f : nullptr, count, s.K, columns, offsets.data(), some.begin * step,
                                   some.end < across ? some.end * step : positions, positions, y + to,
                                   argmax ? argmax + to : nullptr, P};
                for (Index i = 0; i < direct_rows; ++i) row.weights[i] = W + (f + smaller(i, count - 1)) * s.K;
                constexpr int few = FilterTiles<T>::few;
                const bool fewer = count <= few;
                if (!small_rather_than_fast && g.pool == 1)
                    (fewer ? store_tiles<few, T> : store_tiles<direct_rows, T>)(row, relu);
                else if (numbers)
                    (fewer ? pool_tiles_of_numbers<few, T> : pool_tiles_of_numbers<direct_rows, T>)(row);
                else
                    pool_tiles_with_nans(row);
            }
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
