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

#include "packing.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_packed_weights = 1 << 20;

// How the stack of N*OH output rows is cut into strips: within images where these are large.
template <class T>
struct Strips {
    Index rows = 1, count, stack;
    Index image_rows;  // OH where strips end with their image, else 0
    Index used_rows, per_image;

    // `step`: strips of a pooled output have a whole number of pooling windows' rows, and leave out rows beyond these
    Strips(Index images, Extent output, Index step, bool within_images) {
        stack = images * output.h;
        used_rows = output.h / step * step;
        within_images = within_images || used_rows * output.w >= most_positions;
        image_rows = within_images ? output.h : 0;
        const Index fitting = larger(most_positions / output.w / step, 1) * step;
        const Index most = smaller(fitting, within_images ? used_rows : larger(stack, 1));
        // of the heights that nearly fill the limit, the one that wastes the fewest lanes
        double least_waste = 2;
        for (Index height = most; height > 0 && 4 * height >= 3 * most; height -= step) {
            const double lanes = double(rounded_up(height * output.w, vector_lanes<T>));
            const double waste = lanes / double(height * output.w);
            if (waste < least_waste) rows = height, least_waste = waste;
        }
        per_image = divided_up(used_rows, rows);
        count = within_images ? images * per_image : divided_up(stack, rows);
    }

    Range at(Index strip) const {
        if (!image_rows) return {strip * rows, smaller((strip + 1) * rows, stack)};
        const Index first = strip / per_image * image_rows, begin = strip % per_image * rows;
        return {first + begin, first + smaller(begin + rows, used_rows)};
    }
};

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

// Where the results go: y(n, f, oy, ox) at the given steps.
template <class T>
struct Destination {
    T* data;
    Index image_step, filter_step, row_step, column_step;
};

// y = Weights * col^T + b for the channels of each group of x
template <class T>
void convolve(const T* x, const Weights<T>& weights, Index weights_group_step, const T* b, const Destination<T>& y,
              const Geometry& g, Index FG, Index CG, Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, TR = tile_rows;
    const Index OH = g.output.h, OW = g.output.w, K = CG * g.taps, plane = g.input.h * g.input.w;
    const bool packed_weights = !(weights.channel_step == g.taps && weights.taps[g.taps - 1] == g.taps - 1);
    const bool whole_planes = y.column_step == 1 && y.row_step == OW;
    const Strips<T> strips(g.input.n, g.output, 1, false);
    const bool direct = whole_planes && (strips.image_rows || g.input.n == 1);
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
    // sums of a strip: of all filters, or where the depth is one block, of one tile's
    const Index y_size = direct ? 0 : (depth == K ? TR : FG) * width;
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
            T* const image_y = y.data + strip.begin / OH * y.image_step + group * FG * y.filter_step + strip.begin % OH * OW;
            const Index ldc = direct ? y.filter_step : width;
            const T* const group_x = x + group * CG * plane;
            const T* const group_b = b ? b + group * FG : nullptr;
            const Weights<T> w = group_weights(group);
            const auto scatter = [&](const T* from, Index from_step, Range fs, Range ps) {
                for (Index f = fs.begin; f < fs.end; ++f, from += from_step)
                    for (Index p = ps.begin; p < ps.end;) {
                        const Index row = strip.begin + p / OW, x = p % OW;
                        Index count = OW - x;
                        if (whole_planes) count += (smaller(OH - row % OH, strip.end - row) - 1) * OW;
                        count = smaller(count, ps.end - p);
                        T* to = y.data + row / OH * y.image_step + (group * FG + f) * y.filter_step + row % OH * y.row_step + x * y.column_step;
                        if (y.column_step == 1) copy(to, from + p, count);
                        else for (Index i = 0; i < count; ++i) to[i * y.column_step] = from[p + i];
                        p += count;
                    }
            };
            g.find_rows(strip, row_start);
            for (Index k = 0; k < K; k += depth) {
                const Index k_depth = smaller(depth, K - k);
                const Range channels{k / g.taps, divided_up(k + k_depth, g.taps)};
                if (!g.in_place) copy_lines(g, group_x, channels, strip, lines, line_step);
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
                        T* const c = direct ? image_y + f * ldc : strip_y + (depth == K ? 0 : f * width);
                        const Index rows = smaller(TR, filters.end - f), line = 0;
                        const T* a[TR];
                        for (Index i = 0; i < rows; ++i)
                            a[i] = packed_weights ? a_block + f * k_depth + i : w.data + (f + i) * w.row_step + k;
                        const Ends<T> ends{k > 0, group_b ? group_b + f : nullptr, relu && last};
                        for (Index q = p; q < p_end; q += TC)
                            multiply(rows, smaller(TC, p_end - q), a, Depth<T>{1, k_depth, &line, packed_weights ? TR : Index(1)},
                                     panels + (q - p) * k_depth, c + q, ldc, ends);
                        if (!direct && last) scatter(c, width, {f, f + rows}, {p, p_end});
                    }
                }
            }
        }
    });
}

// Sizes of one convolution, named as at the head of this file.
struct Sizes {
    Index FG, CG, K, P;
    Sizes(Shape filter, Extent output, Index groups)
        : FG(filter.n / groups), CG(filter.c), K(filter.c * filter.h * filter.w), P(output.h * output.w) {}
};

template <class T>
void conv2d(const T* x, const T* W, const T* b, T* y, Shape input, Shape filter, Extent output, Window window,
            Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, true);
    const Scratch<Index> taps(g.taps);
    for (Index t = 0; t < g.taps; ++t) taps.data()[t] = t;
    convolve(x, Weights<T>{W, s.K, g.taps, taps.data()}, s.FG * s.K, b,
             Destination<T>{y, filter.n * s.P, s.P, output.w, 1}, g, s.FG, s.CG, groups, false);
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
