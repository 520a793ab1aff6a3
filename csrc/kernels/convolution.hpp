// Convolution forward, and what backward shares with it.
//
//   x  (N, C, H, W)       C = groups * CG
//   W  (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   b  (FN)
//   y  (N, FN, OH, OW)    P = OH*OW
//
// For one image and one group, with col the (P, K) column matrix of that group's channels: y (FG, P) = W (FG, K) col^T + b.
// col is never written down: the panels of col^T that the micro-kernel multiplies are runs of lines (geometry.hpp).
#pragma once

#include "depthwise.hpp"
#include "packing.hpp"
#include "winograd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_packed_weights = 1 << 20;

// The numbers of a weight matrix (rows, K), k = (channel, tap), wherever they lie.
template <class T>
struct Weights {
    const T* data;
    Index row_step, channel_step;
    const Index* taps;  // offset of every tap

    // Copies rows [rows.begin, rows.end) and steps [k, k + depth) into panels of A.
    void pack(Range rows, Index k, Index depth, Index tap_count, T* to) const {
        for (Index begin = rows.begin; begin < rows.end; begin += tile_rows) {
            const Index count = smaller(tile_rows, rows.end - begin);
            Index channel = k / tap_count, tap = k % tap_count;
            for (Index i = 0; i < depth; ++i, to += tile_rows) {
                const T* from = data + begin * row_step + channel * channel_step + taps[tap];
                for (Index r = 0; r < count; ++r) to[r] = from[r * row_step];
                if (++tap == tap_count) tap = 0, ++channel;
            }
        }
    }
};

// Where results go: y(n, f, oy, ox) at the given steps.
template <class T>
struct Placed {
    T* data;
    Index image_step, filter_step, row_step, column_step;

    static constexpr bool within_images = false;
    Index rows_step() const { return 1; }

    // Whether the results of a strip may be written as they come, and where to, for filter f.
    bool directly(const Geometry& g, const Strips<T>& strips) const {
        return (strips.image_rows || g.input.n == 1) && column_step == 1 && row_step == g.output.w;
    }
    T* at(const Geometry& g, Range strip, Index f) const {
        return data + strip.begin / g.output.h * image_step + f * filter_step + strip.begin % g.output.h * row_step;
    }

    // Takes the rows of a strip for filter f, row_size numbers from one to the next.
    void take_rows(const Geometry& g, Range strip, Index f, const T* from, Index row_size) const {
        const Index OH = g.output.h, OW = g.output.w;  // the strip lies within one image
        T* to = data + strip.begin / OH * image_step + f * filter_step + strip.begin % OH * row_step;
        for (Index row = 0; row < strip.size(); ++row, from += row_size, to += row_step) {
            if (column_step == 1)
                copy(to, from, OW);
            else
                for (Index i = 0; i < OW; ++i) to[i * column_step] = from[i];
        }
    }

    // Takes a strip's results for filters fs, rows of `width` numbers.
    void take(const Geometry& g, Range strip, Range fs, const T* from, Index width) const {
        const Index OH = g.output.h, OW = g.output.w;
        for (Index f = fs.begin; f < fs.end; ++f, from += width)
            for (Index row = strip.begin; row < strip.end;) {
                // rows that lie one behind the other go together
                const Index rows = row_step == OW ? smaller(OH - row % OH, strip.end - row) : 1;
                T* to = data + row / OH * image_step + f * filter_step + row % OH * row_step;
                const T* row_from = from + (row - strip.begin) * OW;
                if (column_step == 1)
                    copy(to, row_from, rows * OW);
                else
                    for (Index i = 0; i < OW; ++i) to[i * column_step] = row_from[i];
                row += rows;
            }
    }
};

// Sizes of one convolution, named as at the head of this file.
struct Sizes {
    Index FG, CG, K, P;
    Sizes(Shape filter, Extent output, Index groups)
        : FG(filter.n / groups), CG(filter.c), K(filter.c * filter.h * filter.w), P(output.h * output.w) {}
};

// Is every channel a group with one filter?
inline bool is_depthwise(const Sizes& s, Index groups) { return groups > 1 && s.CG == 1 && s.FG == 1; }

// y = Weights * col^T + b for the channels of each group of x
template <class T, class Output>
void convolve(const T* x, const Weights<T>& weights, Index weights_group_step, const T* b, const Output& y,
              const Geometry& g, Index FG, Index CG, Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, TR = tile_rows;
    const Index OH = g.output.h, OW = g.output.w, K = CG * g.taps, plane = g.input.h * g.input.w;
    const bool packed_weights = !(weights.channel_step == g.taps && weights.taps[g.taps - 1] == g.taps - 1);
    if constexpr (!Output::within_images)  // not for pooled strips
        if (winograd_pays(g, FG, CG, packed_weights) && y.column_step == 1)
            return convolve_winograd(x, weights, weights_group_step, b, y, g, FG, CG, groups, relu);
    const Strips<T> strips(g.input.n, g.output, y.rows_step(), y.within_images);
    const Index width = rounded_up(strips.rows * OW, TC), chunk = smaller(width, rounded_up(most_positions, TC));
    const Index depth = divided_up(K, divided_up(K, most_depth));
    const Index line_channels = smaller(CG, depth / g.taps + 2), line_step = g.most_lines(strips.rows) * g.pitch;
    const Index tiles = divided_up(FG, TR), units = strips.count * groups * tiles;
    const int parts = threads_for(units, double(g.input.n * groups) * double(FG * K) * double(OH * OW));

    // Weights that have to be packed are packed once where that costs little memory, else again for every strip.
    const Index FG_up = tiles * TR;
    const bool packed_once = packed_weights && groups * FG_up * K <= most_packed_weights;
    const Index panels_size = depth * chunk, lines_size = line_channels * line_step;
    const Index a_size = packed_weights && !packed_once ? FG_up * depth : 0;
    // The sums of a strip that cannot be written directly: of all its filters, or of one tile's where these are
    // finished at once.
    const bool direct = y.directly(g, strips), at_once = depth == K && width <= chunk;
    const Index y_size = direct ? 0 : (at_once ? TR : tiles * TR) * width, ldc = direct ? y.filter_step : width;
    const Index part_size = rounded_up(panels_size + lines_size + a_size + y_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size);
    const Scratch<Index> tables(g.taps + parts * strips.rows);
    const Scratch<MovesMemory> moves_memory(parts);
    const Scratch<T> packed(packed_once ? groups * FG_up * K : 0);
    Index* const offsets = tables.data();
    for (Index t = 0; t < g.taps; ++t) offsets[t] = g.tap_offset(t);
    const auto group_weights = [&](Index group) {
        return Weights<T>{weights.data + group * weights_group_step, weights.row_step, weights.channel_step, weights.taps};
    };
    if (packed_once)
        parallel_for(groups * tiles, double(TR * K), [&](Index item) {
            const Index group = item / tiles, f = item % tiles * TR;
            for (Index k = 0; k < K; k += depth) {
                const Index k_depth = smaller(depth, K - k);
                group_weights(group).pack({f, smaller(FG, f + TR)}, k, k_depth, g.taps, packed.data() + (group * K + k) * FG_up + f * k_depth);
            }
        });

    run_each(parts, [&](int part) {
        T* const panels = scratch.data() + part * part_size;
        T* const lines = panels + panels_size;
        T* const a_panels = lines + lines_size;
        T* const strip_y = a_panels + a_size;
        Index* const row_start = offsets + g.taps + part * strips.rows;
        const Range mine = share(units, parts, part);
        for (Index unit = mine.begin; unit < mine.end;) {
            // the filters of one strip and group that are this part's
            const Index group = unit / tiles % groups, first_tile = unit % tiles;
            const Range strip = strips.at(unit / tiles / groups);
            const Index last_tile = smaller(tiles, first_tile + mine.end - unit);
            const Range filters{first_tile * TR, smaller(FG, last_tile * TR)};
            unit += last_tile - first_tile;
            const Index positions = strip.size() * OW;
            const T* const group_x = x + group * CG * plane;
            const T* const group_b = b ? b + group * FG : nullptr;
            const Weights<T> w = group_weights(group);
            g.find_rows(strip, row_start);
            for (Index k = 0; k < K; k += depth) {
                const Index k_depth = smaller(depth, K - k);
                const Range channels{k / g.taps, divided_up(k + k_depth, g.taps)};
                if (!g.in_place) copy_lines(g, group_x, channels, strip, lines, line_step, true);
                if (packed_weights && !packed_once) w.pack(filters, k, k_depth, g.taps, a_panels);
                // first panel of A for this block of depth, were it that of filter 0
                const T* const a_block = packed_once ? packed.data() + (group * K + k) * FG_up : a_panels - filters.begin * k_depth;
                const T* const base = g.in_place ? group_x + channels.begin * plane : lines;
                const Index channel_step = g.in_place ? plane : line_step;
                for (Index p = 0; p < positions; p += chunk) {
                    const Index p_end = smaller(positions, p + chunk);
                    Moves<T> moves(moves_memory.data()[part], k_depth * TC);
                    for_runs({p, p_end}, OW, row_start,
                             [&](Index at, Index from, Index count) { moves.add_run(at - p, from, count); });
                    moves.clear(p_end - p, rounded_up(p_end - p, vector_lanes<T>));
                    T* panel_row = panels;
                    const T* channel = base;
                    for (Index i = 0, tap = k % g.taps; i < k_depth; ++i, panel_row += TC) {
                        moves.copy(channel + offsets[tap], panel_row);
                        if (++tap == g.taps) tap = 0, channel += channel_step;
                    }
                    const bool last = k + k_depth == K;
                    for (Index f = filters.begin; f < filters.end; f += TR) {
                        T* const c = direct ? y.at(g, strip, group * FG + f) : strip_y + (at_once ? 0 : f - filters.begin) * width;
                        const Index rows = smaller(TR, filters.end - f), line = 0;
                        const T* a[TR];
                        for (Index i = 0; i < rows; ++i)
                            a[i] = packed_weights ? a_block + f * k_depth + i : w.data + (f + i) * w.row_step + k;
                        const Ends<T> ends{k > 0, group_b && k == 0 ? group_b + f : nullptr, relu && last};
                        for (Index q = p; q < p_end; q += TC)
                            multiply(rows, smaller(TC, p_end - q), a, Depth<T>{1, k_depth, &line, packed_weights ? TR : Index(1)},
                                     panels + (q - p) * k_depth, c + q, ldc, ends);
                        if (at_once && !direct) y.take(g, strip, {group * FG + f, group * FG + f + rows}, c, width);
                    }
                }
            }
            if (!at_once && !direct) y.take(g, strip, {group * FG + filters.begin, group * FG + filters.end}, strip_y, width);
        }
    });
}

template <class T, class Output>
void convolve_forward(const T* x, const T* W, const T* b, const Output& y, const Geometry& g, const Sizes& s, Index groups,
                      bool relu) {
    const Scratch<Index> taps(g.taps);
    for (Index t = 0; t < g.taps; ++t) taps.data()[t] = t;
    if constexpr (!Output::within_images)
        if (is_depthwise(s, groups) && !relu)
            return convolve_planes(x, W, g.taps, taps.data(), b, y, Geometry(g.input, g.output, g.window, false));
    convolve(x, Weights<T>{W, s.K, g.taps, taps.data()}, s.FG * s.K, b, y, g, s.FG, s.CG, groups, relu);
}

template <class T>
void conv2d(const T* x, const T* W, const T* b, T* y, Shape input, Shape filter, Extent output, Window window,
            Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, true);
    convolve_forward(x, W, b, Placed<T>{y, filter.n * s.P, s.P, output.w, 1}, g, s, groups, false);
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
