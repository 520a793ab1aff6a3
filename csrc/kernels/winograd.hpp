// Convolution by Winograd's minimal filtering (winograd_transforms.hpp), forward and for gradients.
//
// A strip of tiles has its patches transformed, a block of channels at a time, while V stays in the cache; then every
// tile of filters meets the whole strip. The filters are transformed before, for all strips; where there is only one,
// on the spot, by the thread whose they are: written down, they would be larger than all else.
#pragma once

#include "winograd_patches.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Shorter sums have so few roundings that those of the transforms would show.
constexpr Index fewest_products = 100;

// Where it is faster than direct convolution: of the tiles, of which those at the edge may be cut, what is multiplied,
// three for each number of a patch that is copied or transformed and two for each product that becomes outputs come to
// three quarters of the products of the definition or, without AVX-512, to two thirds. 32 tiles pay for the transforms
// of the filters, or 16 where direct convolution has to pack these (as it does for gradients). Not for float64, whose
// purpose is to be exact.
template <class T>
bool winograd_pays(const Geometry& g, Index FG, Index CG, bool packs_filters) {
    if constexpr (!hurries<T>) return false;
    const Index tiles = count_tiles(g);
    if (!may_be_cut(g.window.h) || !may_be_cut(g.window.w) || FG < 16 || CG * g.taps < fewest_products ||
        tiles < (packs_filters ? 16 : 32))
        return false;
    const Pieces pieces(g.window);
    const Index products = pieces.products;
    if (products * CG * tile_rows * Index(sizeof(T)) > most_filter_bytes) return false;  // not even one tile
    const Index work = products * FG * CG + 3 * (products + pieces.patch()) * CG + 2 * winograd_points * FG;
    const double share = is_avx512 ? 0.75 : 0.66;
    const Index outputs = g.input.n * g.output.h * g.output.w;
    return double(tiles * work) <= share * double(g.taps * outputs * FG * CG);
}

// Writes one filter's tiles, the first `vectors` vectors of them: sums (2x2, tiles) -> y
template <class T>
void write_tiles(const T* sums, Index tiles, Index vectors, T bias, bool relu, const TileRun* runs, Index run_count,
                 T* y, Index width) {
    constexpr Index L = vector_lanes<T>;
    alignas(64) T rows[2][2 * most_winograd_tiles<T>];
    for (Index i = 0; i < 2; ++i)
        for (Index v = 0; v < vectors; ++v) {
            Vector<T> even = load<L>(sums + 2 * i * tiles + v * L) + bias;
            Vector<T> odd = load<L>(sums + (2 * i + 1) * tiles + v * L) + bias;
            if (relu) even = even <= 0 ? Vector<T>{} : even, odd = odd <= 0 ? Vector<T>{} : odd;
            store_alternately(rows[i] + 2 * v * L, even, odd, Counting<int(L)>());
        }
    for (Index r = 0; r < run_count; ++r)
        for (Index i = 0; i < runs[r].rows; ++i)
            copy(y + runs[r].at + i * width, rows[i] + 2 * runs[r].tile, runs[r].columns);
}

// M (point, tile_rows, winograd_columns) = U V for a tile of filters and `vectors` vectors of tiles.
template <class T>
void multiply_points(const Pieces& pieces, Index channels, const T* U, const T* V, Index vectors, T* M) {
    constexpr Index TR = tile_rows, WC = winograd_columns<T>;
    for (Index p = 0; p < winograd_points; ++p, M += TR * WC) {
        const Index begin = pieces.begin[p] * channels;
        const T* rows[TR];
        for (Index i = 0; i < TR; ++i) rows[i] = U + begin * TR + i;
        const Depth<T> depth{1, pieces.at_point[p] * channels, one_line, TR, WC, winograd_steps};
        tile_of<T>(TR, vectors)(rows, depth, V + begin * WC, M, WC, Ends<T>{});
    }
}

// y = Weights * col^T + b as convolve() has it, for windows without dilation.
template <class T>
void convolve_winograd(const T* x, const Weights<T>& all_weights, const T* b, T* y, const Geometry& g, Index FG,
                       Index CG, Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, WC = winograd_columns<T>, TR = tile_rows, L = vector_lanes<T>;
    const Pieces pieces(g.window);
    const Index P = pieces.products, outputs = g.output.h * g.output.w, all_tiles = count_tiles(g);
    const bool one_strip = all_tiles <= most_winograd_tiles<T>;
    const Index tiles = one_strip ? rounded_up(all_tiles, TC) : winograd_tiles<T>;
    const TileStrips strips(g, pieces, tiles);
    // Where they are many, two blocks of channels at least: a single one would round more.
    const Index blocks = larger(divided_up(P * CG, winograd_products), P * CG > winograd_products_at_once ? 2 : 1);
    const Index depth = divided_up(CG, smaller(blocks, CG));
    // So many filters at a time that U, or else the sums of the only strip, take no more than they may.
    const Index filter_size = one_strip ? 4 * tiles : P * CG, filter_tiles = divided_up(FG, TR);
    const Index fitting = larger(most_filter_bytes / Index(sizeof(T)) / (filter_size * TR), 1);
    const Index block_tiles = divided_up(filter_tiles, divided_up(filter_tiles, fitting));

    const int parts = threads_for(strips.count * block_tiles, double(all_tiles * P) * double(block_tiles * TR * CG));
    const Index part_tiles = depth == CG ? 1 : one_strip ? divided_up(block_tiles, parts) : block_tiles;
    const Index V_size = P * depth * tiles, M_size = winograd_points * TR * WC, sums_size = part_tiles * TR * 4 * tiles;
    const Index part_U_size = one_strip ? P * depth * TR : 0;
    const Index part_size = rounded_up(V_size + M_size + sums_size + part_U_size, 64 / Index(sizeof(T)));
    const Scratch<T> U(one_strip ? 0 : block_tiles * TR * P * CG), scratch(parts * part_size);
    const Scratch<TileRun> all_runs(parts * tiles);
    const PatchMemory<T> memory(strips, parts);

    for (Index block = 0; block < groups * divided_up(filter_tiles, block_tiles); ++block) {
        const Index group = block % groups, first = block / groups * block_tiles * TR;
        const Index f_tiles = divided_up(smaller(FG - first, block_tiles * TR), TR);
        const Weights<T> w = all_weights.of(group);
        const auto transform_tile = [&](Index tile, Index c, T* to) {
            const Index f = first + tile * TR;
            transform_filters(pieces, w, f, smaller(TR, FG - f), {c, smaller(CG, c + depth)}, to);
        };
        if (!one_strip)
            parallel_for(f_tiles, double(TR * P * CG), [&](Index tile) {
                for (Index c = 0; c < CG; c += depth) transform_tile(tile, c, U.data() + (tile * CG + c) * P * TR);
            });
        run_each(parts, [&](int part) {
            T* const V = scratch.data() + part * part_size;
            T* const M = V + V_size;
            T* const sums = M + M_size;
            T* const part_U = sums + sums_size;
            TileRun* const runs = all_runs.data() + part * tiles;
            const Range mine = share_units(strips, strips.tiles, f_tiles, parts, part);
            for (Index unit = mine.begin; unit < mine.end;) {
                const Range here = strips.at(unit / f_tiles);
                const Range f_range{unit % f_tiles, smaller(f_tiles, unit % f_tiles + mine.end - unit)};
                unit += f_range.size();
                const Index vectors = divided_up(here.size(), L);
                const Index run_count = strips.find_runs(here, groups * FG * outputs, runs);
                Patches<T> patches(strips, memory, part, here, vectors);
                for (Index c = 0; c < CG; c += depth) {
                    const Index channels = smaller(depth, CG - c);
                    patches.transform(pieces, x + group * CG * g.input.h * g.input.w, {c, c + channels}, V);
                    for (Index tile = f_range.begin; tile < f_range.end; ++tile) {
                        const Index f = first + tile * TR, f_rows = smaller(TR, FG - f);
                        if (one_strip) transform_tile(tile, c, part_U);
                        const T* const tile_U = one_strip ? part_U : U.data() + (tile * CG + c) * P * TR;
                        T* const tile_sums = sums + (tile - f_range.begin) % part_tiles * TR * 4 * tiles;
                        for (Index v = 0; v < vectors; v += winograd_vectors) {
                            const Index panel_vectors = smaller(winograd_vectors, vectors - v);
                            multiply_points(pieces, channels, tile_U, V + v * L * P * channels, panel_vectors, M);
                            for (Index r = 0; r < f_rows; ++r)
                                transform_outputs(M + r * WC, panel_vectors,
                                                  tile_sums + r * 4 * tiles + v * L, tiles, c > 0);
                        }
                        if (c + depth < CG) continue;
                        for (Index r = 0; r < f_rows; ++r)
                            write_tiles(tile_sums + r * 4 * tiles, tiles, vectors, b ? b[group * FG + f + r] : T(0),
                                        relu, runs, run_count, y + (group * FG + f + r) * outputs, g.output.w);
                    }
                }
            }
        });
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
