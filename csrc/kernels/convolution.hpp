// Convolution forward, and what backward shares with it.
//
//   x  (N, C, H, W)       C = groups * CG
//   W  (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW
//   b  (FN)
//   y  (N, FN, OH, OW)    P = OH*OW
//
// For one image and one group, with col the (P, K) column matrix of that group's channels:
//
//   y (FG, P) = W (FG, K) col^T + b
//
// col is never written down: the panels of col^T that the micro-kernel multiplies are runs of lines (geometry.hpp).
#pragma once

#include "convolution_direct.hpp"
#include "convolution_pointwise.hpp"
#include "depthwise.hpp"
#include "winograd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_unpacked = is_avx512 ? 128 : 32;  // up to so many filters, pixels are better read where they lie

// Is every channel a group with one filter?
inline bool is_depthwise(const Sizes& s, Index groups) { return groups > 1 && s.CG == 1 && s.FG == 1; }

// The panels of col^T for steps [k, k + depth) and positions [ps.begin, ps.end) of a strip.
// `lines`: of the channel that step k belongs to and those behind it, channel_step elements apart.
template <class T>
void pack_columns(const Geometry& g, const Index* offsets, const Index* row_start, const T* lines, Index channel_step,
                  Index k, Index depth, Range ps, MovesMemory& memory, T* panels) {
    Moves<T> moves(memory, panel_rows(depth) * tile_columns<T>);
    for_runs(ps, g.output.w, row_start,
             [&](Index p, Index from, Index count) { moves.add_run(p - ps.begin, from, count); });
    moves.clear(ps.size(), rounded_up(ps.size(), vector_lanes<T>));
    Index tap = k % g.taps;
    for (Index i = 0; i < depth; ++i, panels += tile_columns<T>) {
        moves.copy(lines + offsets[tap], panels);
        if (++tap == g.taps) tap = 0, lines += channel_step;
    }
}

// Writes a strip's results for filters fs of y (N, filters, OH, OW), collected in rows of `width` numbers.
template <class T>
PYCONV_ONCE void write_strip(const Geometry& g, Range strip, Range fs, const T* from, Index width, Index filters,
                             T* y) {
    const Index OH = g.output.h, OW = g.output.w;
    for (Index f = fs.begin; f < fs.end; ++f, from += width)
        for_image_rows(strip, OH, [&](Index n, Index oy, Index row, Index rows) {
            copy(y + ((n * filters + f) * OH + oy) * OW, from + (row - strip.begin) * OW, rows * OW);
        });
}

// y = weights * col^T + b for the channels of each of x's groups, CG of them and FG filters to a group.
//
// A unit of work is a strip of positions times tile_rows filters; each thread has consecutive ones. It packs the
// columns of a strip a block of depth at a time and multiplies all its filters with them. The pixels of a 1x1
// convolution with few filters are multiplied where they lie.
template <class T>
void convolve(const T* x, const Weights<T>& all_weights, const T* b, T* y, const Geometry& g, Index FG, Index CG,
              Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, TR = tile_rows;
    const Index OH = g.output.h, OW = g.output.w, K = CG * g.taps, plane = g.input.h * g.input.w;
    const bool pack_weights = !all_weights.is_contiguous(g.taps);
    if (winograd_pays<T>(g, FG, CG, pack_weights))
        return convolve_winograd(x, all_weights, b, y, g, FG, CG, groups, relu);
    if constexpr (is_avx512_float<T>)
        if (pointwise_pays<T>(g, FG, CG, groups))
            return convolve_pointwise(x, all_weights, b, y, g, FG, CG, groups, relu);
    const Index depth = divided_up(K, divided_up(K, most_depth));
    // As many positions as panels of this depth find room for in the second-level cache, beside the results where these
    // are added up over several blocks of depth.
    const Index room = smaller(most_positions, fewest_positions * most_depth / depth);
    const Index most = depth < K ? fewest_positions : room;
    const Strips<T> strips(g.input.n, g.output, false, most);
    const Index width = rounded_up(strips.rows * OW, TC), chunk = smaller(width, rounded_up(most, TC));
    const Index tiles = divided_up(FG, TR), units = strips.count * groups * tiles;
    const int parts = threads_for(units, double(g.input.n * groups) * double(FG * K) * double(OH * OW));

    // Weights that have to be packed are packed once where that costs little memory, else again for every strip.
    const bool pack_once = pack_weights && groups * tiles * TR * K <= most_packed_weights;
    // A strip that cannot be written directly is collected: all its filters, or where its sums are complete at once,
    // one tile of them.
    const bool direct = strips.of_one_image, at_once = depth == K && width <= chunk;
    const Index ldc = direct ? OH * OW : width;
    // Planes that lie multiples of 64 KB apart share a few lines of the cache.
    const bool may_stay = g.is_one_run() && strips.of_one_image && FG <= most_unpacked &&
                          plane * Index(sizeof(T)) % (1 << 16) != 0;

    const Index line_step = g.lines_size(strips.rows);
    const Index panels_size = panel_rows(depth) * chunk, lines_size = smaller(CG, depth / g.taps + 2) * line_step;
    const Index a_size = pack_weights && !pack_once ? tiles * TR * depth : 0;
    const Index y_size = direct ? 0 : (at_once ? TR : tiles * TR) * width;
    const Index part_size = rounded_up(panels_size + lines_size + a_size + y_size, 64 / Index(sizeof(T)));
    const Scratch<T> scratch(parts * part_size), packed_once(pack_once ? groups * tiles * TR * K : 0);
    const Scratch<Index> offsets(g.taps), row_starts(parts * strips.rows);
    const Scratch<MovesMemory> moves_memory(parts);
    g.find_offsets(offsets.data());
    if (pack_once)
        parallel_for(groups * tiles, double(TR * K), [&](Index item) {
            const Index group = item / tiles, f = item % tiles * TR;
            for (Index k = 0; k < K; k += depth) {
                const Index k_depth = smaller(depth, K - k);
                all_weights.of(group).pack({f, smaller(FG, f + TR)}, k, k_depth, g.taps,
                                           packed_once.data() + (group * K + k) * tiles * TR + f * k_depth);
            }
        });

    const auto group_of = [&](Index unit) { return unit / tiles % groups; };
    const auto strip_of = [&](Index unit) { return strips.at(unit / tiles / groups); };
    const auto input_of = [&](Index group) { return x + group * CG * plane; };
    const auto channels_of = [&](Index k) { return Range{k / g.taps, divided_up(smaller(K, k + depth), g.taps)}; };
    run_each(parts, [&](int part) {
        T* const panels = scratch.data() + part * part_size;
        T* const lines = panels + panels_size;
        T* const a_panels = lines + lines_size;
        T* const strip_y = a_panels + a_size;
        Index* const row_start = row_starts.data() + part * strips.rows;
        fill(lines, lines_size, T(0));
        const Range mine = share_units(strips, strips.stack, groups * tiles, parts, part);
        for (Index unit = mine.begin; unit < mine.end;) {
            // the filters of one strip and group that are this part's
            const Index group = group_of(unit), first_tile = unit % tiles;
            const Index last_tile = smaller(tiles, first_tile + mine.end - unit);
            const Range strip = strip_of(unit);
            const Range filters{first_tile * TR, smaller(FG, last_tile * TR)};
            const T* const group_x = input_of(group);
            unit += last_tile - first_tile;
            const Index positions = strip.size() * OW, first_f = group * FG;
            const Index first_plane = strip.begin / OH * groups * FG + first_f;  // of y
            const bool unpacked = may_stay && positions % vector_lanes<T> == 0;
            const Weights<T> weights = all_weights.of(group);
            g.find_rows(strip, row_start);
            for (Index k = 0; k < K; k += depth) {
                const Index k_depth = smaller(depth, K - k);
                const Range channels = channels_of(k);
                if (!g.in_place) copy_lines(g, group_x, channels, strip, lines, line_step, true);
                const T* const first_line = g.in_place ? group_x + channels.begin * plane : lines;
                if (a_size) weights.pack(filters, k, k_depth, g.taps, a_panels);
                // panels of A of this block, the one of filter 0 first
                const T* const a_block = pack_once ? packed_once.data() + (group * K + k) * tiles * TR
                                                   : a_panels - filters.begin * k_depth;
                Upcoming<T> upcoming;
                const Index products = divided_up(filters.size(), TR) * divided_up(positions, TC);
                if (k + k_depth < K)
                    upcoming = {g, group_x, channels_of(k + k_depth), strip, products};
                else if (unit < mine.end)
                    upcoming = {g, input_of(group_of(unit)), channels_of(0), strip_of(unit), products};
                for (Index p = 0; p < positions; p += chunk) {
                    const Index p_end = smaller(positions, p + chunk);
                    if (!unpacked)
                        pack_columns(g, offsets.data(), row_start, first_line, g.in_place ? plane : line_step, k,
                                     k_depth, {p, p_end}, moves_memory.data()[part], panels);
                    for (Index f = filters.begin; f < filters.end; f += TR) {
                        const Index rows = smaller(TR, filters.end - f);
                        const T* a[TR];
                        for (Index i = 0; i < rows; ++i)
                            a[i] = pack_weights ? a_block + f * k_depth + i
                                                : weights.data + (f + i) * weights.row_step + k;
                        T* const c = direct ? y + (first_plane + f) * OH * OW + strip.begin % OH * OW
                                            : strip_y + (at_once ? 0 : f - filters.begin) * width;
                        const Depth<T> steps{1, k_depth, one_line, pack_weights ? TR : Index(1), unpacked ? plane : TC};
                        const Ends<T> ends{k > 0, b && k == 0 ? b + first_f + f : nullptr, relu && k + k_depth == K};
                        for (Index q = p; q < p_end; q += TC) {
                            upcoming.ask_for_more();
                            multiply(rows, smaller(TC, p_end - q), a, steps,
                                     unpacked ? first_line + row_start[0] + q : panels + (q - p) * panel_rows(k_depth),
                                     c + q, ldc, ends);
                        }
                        if (at_once && !direct)
                            write_strip(g, strip, {first_f + f, first_f + f + rows}, c, width, groups * FG, y);
                    }
                }
            }
            if (!at_once && !direct)
                write_strip(g, strip, {first_f + filters.begin, first_f + filters.end}, strip_y, width, groups * FG,
                            y);
        }
    });
}

// Would packing take longer than multiplying: for few channels, short sums, or few filters? Long ones of these have too
// many columns.
inline bool packing_shows(const Sizes& s, Index taps) {
    return taps > 1 && (s.CG == 1 || s.K < fewest_products || (s.FG <= few_filters && s.K <= 600));
}

template <class T>
void convolve_forward(const T* x, const T* W, const T* b, T* y, const Geometry& g, const Sizes& s, Index groups,
                      bool relu) {
    if (!small_rather_than_fast && !is_depthwise(s, groups) && packing_shows(s, g.taps)) {
        const DirectGeometry<T> direct(g.input, g.output, g.window, s.CG, 1);
        if (direct.fits(s.FG)) return convolve_direct(x, W, b, y, nullptr, direct, s, groups, relu);
    }
    const Scratch<Index> taps(g.taps);
    for (Index t = 0; t < g.taps; ++t) taps.data()[t] = t;
    if (is_depthwise(s, groups))
        return convolve_planes(x, W, g.taps, taps.data(), b, Placed<T>{y, groups * s.P, s.P, g.output.w, 1},
                               Geometry(g.input, g.output, g.window, false), relu);
    convolve(x, Weights<T>{W, s.K, g.taps, taps.data(), s.FG * s.K}, b, y, g, s.FG, s.CG, groups, relu);
}

template <class T>
void conv2d(const T* x, const T* W, const T* b, T* y, Shape input, Shape filter, Extent output, Window window,
            Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, true);
    convolve_forward(x, W, b, y, g, s, groups, false);
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
