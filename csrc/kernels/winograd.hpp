// Convolution by Winograd's minimal filtering (winograd_transforms.hpp), forward and for gradients.
//
// The batch is a stack of rows of tiles, 2x2 outputs each. A strip of consecutive tiles has its patches transformed, a
// block of channels at a time, while V stays in the cache; then every tile of filters meets the whole strip.
#pragma once

#include "winograd_transforms.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// convolution.hpp
template <class T>
struct Placed;

// Is a filter with this axis one that Cut takes?
inline bool may_be_cut(const Axis& axis) {
    return axis.filter <= Cut::most_taps && axis.stride <= axis.filter && axis.dilation == 1;
}

// Where it is faster than direct convolution: of the tiles, of which those at the edge may be cut, what is multiplied,
// three for each number of a patch that is copied or transformed and two for each product that becomes outputs come to
// three quarters of the products of the definition; or, where the registers hold only half as large a tile of M, to
// three fifths. 32 tiles pay for the transforms of the filters, or 16 where direct convolution has to pack these (as
// it does for gradients). Sums of fewer than 100 products have so few roundings that those of the transforms would
// show.
inline bool winograd_pays(const Geometry& g, Index FG, Index CG, bool packs_filters) {
    if constexpr (small_rather_than_fast) return false;
    const Index tiles = divided_up(g.output.h, 2) * divided_up(g.output.w, 2);
    if (!may_be_cut(g.window.h) || !may_be_cut(g.window.w) || FG < 16 || CG * g.taps < 100 ||
        g.input.n * tiles < (packs_filters ? 16 : 32))
        return false;
    const Pieces pieces(g.window);
    const Index products = pieces.products;
    if (products * CG * tile_rows * Index(sizeof(double)) > most_filter_bytes) return false;  // not even one tile
    const Index work = products * FG * CG + 3 * (products + pieces.patch()) * CG + 2 * winograd_points * FG;
    const double share = PYCONV_VECTOR_BYTES == 64 ? 0.75 : 0.6;
    return double(tiles * work) <= share * double(g.taps * g.output.h * g.output.w * FG * CG);
}

// Tiles side by side in one row of tiles, and where the first of their outputs lies.
struct TileRun {
    Index tile, at, rows, columns;
};

// The batch as a stack of rows of tiles, 2x2 outputs each, cut into strips of consecutive tiles.
struct TileStrips {
    Extent output, across;  // outputs and tiles of an image
    Geometry patches;       // those side by side have pixels (i, j) side by side in lines
    Index size, tiles, count, most_rows;  // tiles of a strip, all tiles, strips, rows of tiles that a strip touches

    TileStrips(const Geometry& g, const Pieces& pieces, Index size_)
        : output(g.output), across{divided_up(g.output.h, 2), divided_up(g.output.w, 2)},
          patches(g.input, across, {patch(pieces.h, g.window.h), patch(pieces.w, g.window.w)}, false), size(size_),
          tiles(g.input.n * across.h * across.w), count(divided_up(tiles, size)),
          most_rows(divided_up(size - 1, across.w) + 1) {}

    Range at(Index strip) const { return {strip * size, smaller(tiles, (strip + 1) * size)}; }

    // Where the outputs of a strip lie in an array of these steps; answers the number of runs.
    PYCONV_ONCE Index find_runs(Range strip, Index image_step, Index row_step, TileRun* runs) const {
        Index count = 0;
        for (Index tile = strip.begin; tile < strip.end;) {
            const Index row = tile / across.w, n = row / across.h, oy = row % across.h * 2, tx = tile % across.w;
            const Index here = smaller(across.w - tx, strip.end - tile);
            runs[count++] = {tile - strip.begin, n * image_step + oy * row_step + 2 * tx, smaller(2, output.h - oy),
                             smaller(2 * here, output.w - 2 * tx)};
            tile += here;
        }
        return count;
    }

private:
    static Axis patch(const Cut& cut, const Axis& axis) {
        return {cut.patch, 2 * cut.stride, 1, axis.pad_before, axis.pad_after};
    }
};

// What every part needs for transforming the patches of a strip.
template <class T>
class PatchMemory {
public:
    PatchMemory(const TileStrips& strips, int parts)
        : most_rows_(strips.most_rows), pixels_size_(strips.patches.taps * rounded_up(strips.size, tile_columns<T>)),
          part_size_(rounded_up(pixels_size_ + strips.patches.most_lines(most_rows_) * strips.patches.pitch,
                                64 / Index(sizeof(T)))),
          numbers_(parts * part_size_), row_starts_(parts * most_rows_), moves_(parts) {}

    T* pixels(int part) const { return numbers_.data() + part * part_size_; }
    T* lines(int part) const { return pixels(part) + pixels_size_; }
    Index* row_start(int part) const { return row_starts_.data() + part * most_rows_; }
    MovesMemory& moves(int part) const { return moves_.data()[part]; }

private:
    Index most_rows_, pixels_size_, part_size_;
    Scratch<T> numbers_;
    Scratch<Index> row_starts_;
    Scratch<MovesMemory> moves_;
};

// The patches of a strip, in `vectors` vectors; lanes without a patch are zeros.
template <class T>
class Patches {
public:
    Patches(const TileStrips& strips, const PatchMemory<T>& memory, int part, Range strip, Index vectors)
        : geometry_(strips.patches), rows_{strip.begin / strips.across.w, divided_up(strip.end, strips.across.w)},
          vectors_(vectors), pixels_(memory.pixels(part)), lines_(memory.lines(part)),
          moves_(memory.moves(part), geometry_.taps * tile_columns<T>) {
        Index* const row_start = memory.row_start(part);
        geometry_.find_rows(rows_, row_start);
        const Index lead = strip.begin - rows_.begin * strips.across.w;
        for_runs({lead, lead + strip.size()}, strips.across.w, row_start,
                 [&](Index at, Index from, Index count) { moves_.add_run(at - lead, from, count); });
        moves_.clear(strip.size(), vectors * vector_lanes<T>);
    }

    // Channels of x, the first of its group -> V (see transform_patches)
    PYCONV_ONCE void transform(const Pieces& pieces, const T* x, Range channels, T* V) {
        for (Index c = channels.begin; c < channels.end; ++c) {
            copy_lines(geometry_, x, {c, c + 1}, rows_, lines_, 0, first_);
            first_ = false;
            for (Index p = 0; p < geometry_.taps; ++p)
                moves_.copy(lines_ + geometry_.tap_offset(p), pixels_ + p * tile_columns<T>);
            transform_patches(pieces, pixels_, vectors_, c - channels.begin, channels.size(), V);
        }
    }

private:
    const Geometry& geometry_;
    Range rows_;
    Index vectors_;
    T *pixels_, *lines_;
    Moves<T> moves_;
    bool first_ = true;  // no channel has written the zeros around the image yet
};

// Writes one filter's tiles: sums (2x2, tiles) -> y
template <class T>
void write_tiles(const T* sums, Index vectors, T bias, bool relu, const TileRun* runs, Index run_count, T* y,
                 Index row_step) {
    constexpr Index L = vector_lanes<T>, tiles = winograd_tiles<T>;
    alignas(64) T rows[2][2 * tiles];
    for (Index i = 0; i < 2; ++i)
        for (Index v = 0; v < vectors; ++v) {
            Vector<T> even = load<L>(sums + 2 * i * tiles + v * L) + bias;
            Vector<T> odd = load<L>(sums + (2 * i + 1) * tiles + v * L) + bias;
            if (relu) even = even <= 0 ? Vector<T>{} : even, odd = odd <= 0 ? Vector<T>{} : odd;
            store_alternately(rows[i] + 2 * v * L, even, odd, typename Counting<int(L)>::Type());
        }
    for (Index r = 0; r < run_count; ++r)
        for (Index i = 0; i < runs[r].rows; ++i)
            copy(y + runs[r].at + i * row_step, rows[i] + 2 * runs[r].tile, runs[r].columns);
}

// y = Weights * col^T + b as convolve() has it, for windows without dilation.
template <class T>
void convolve_winograd(const T* x, const Weights<T>& all_weights, const T* b, const Placed<T>& y,
                       const Geometry& g, Index FG, Index CG, Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, WC = winograd_columns<T>, TR = tile_rows, L = vector_lanes<T>;
    constexpr Index most_tiles = winograd_tiles<T>;
    const Pieces pieces(g.window);
    const Index P = pieces.products;
    const TileStrips strips(g, pieces, most_tiles);
    const Index depth = divided_up(CG, divided_up(CG, larger(winograd_products / P, 1)));
    const Index fitting = larger(most_filter_bytes / Index(sizeof(T)) / (P * CG * TR), 1);
    const Index filter_tiles = divided_up(FG, TR);
    const Index block_tiles = divided_up(filter_tiles, divided_up(filter_tiles, fitting));

    const int parts = threads_for(strips.count * block_tiles, double(strips.tiles * P) * double(block_tiles * TR * CG));
    const bool at_once = depth == CG;
    const Index V_size = P * depth * smaller(most_tiles, rounded_up(strips.tiles, TC));
    const Index M_size = winograd_points * TR * WC, sums_size = (at_once ? 1 : block_tiles) * TR * 4 * most_tiles;
    const Index part_size = rounded_up(V_size + M_size + sums_size, 64 / Index(sizeof(T)));
    const Scratch<T> U(block_tiles * TR * P * CG), scratch(parts * part_size);
    const Scratch<TileRun> all_runs(parts * most_tiles);
    const PatchMemory<T> memory(strips, parts);

    for (Index block = 0; block < groups * divided_up(filter_tiles, block_tiles); ++block) {
        const Index group = block % groups, first = block / groups * block_tiles * TR;
        const Index f_tiles = divided_up(smaller(FG - first, block_tiles * TR), TR);
        const Weights<T> w = all_weights.of(group);
        parallel_for(f_tiles, double(TR * P * CG), [&](Index tile) {
            for (Index c = 0; c < CG; c += depth)
                transform_filters(pieces, w, first + tile * TR, smaller(TR, FG - first - tile * TR),
                                  {c, smaller(CG, c + depth)}, U.data() + (tile * CG + c) * P * TR);
        });
        run_each(parts, [&](int part) {
            T* const V = scratch.data() + part * part_size;
            T* const M = V + V_size;
            T* const sums = M + M_size;
            TileRun* const runs = all_runs.data() + part * most_tiles;
            const Range mine = share(strips.count * f_tiles, parts, part);
            for (Index unit = mine.begin; unit < mine.end;) {
                const Range here = strips.at(unit / f_tiles);
                const Range f_range{unit % f_tiles, smaller(f_tiles, unit % f_tiles + mine.end - unit)};
                unit += f_range.size();
                const Index vectors = divided_up(here.size(), L);
                const Index run_count = strips.find_runs(here, y.image_step, y.row_step, runs);
                Patches<T> patches(strips, memory, part, here, vectors);
                for (Index c = 0; c < CG; c += depth) {
                    const Index channels = smaller(depth, CG - c);
                    patches.transform(pieces, x + group * CG * g.input.h * g.input.w, {c, c + channels}, V);
                    for (Index tile = f_range.begin; tile < f_range.end; ++tile) {
                        const Index f = first + tile * TR, f_rows = smaller(TR, FG - f);
                        const T* const tile_U = U.data() + (tile * CG + c) * P * TR;
                        T* const tile_sums = sums + (at_once ? 0 : tile) * TR * 4 * most_tiles;
                        for (Index v = 0; v < vectors; v += winograd_vectors) {
                            const Index panel_vectors = smaller(winograd_vectors, vectors - v);
                            const auto multiply = panel_vectors == winograd_vectors
                                                      ? multiply_point<T, winograd_vectors>
                                                      : multiply_point<T, 1>;
                            for (Index p = 0; p < winograd_points; ++p)
                                multiply(tile_U + pieces.begin[p] * channels * TR,
                                         V + (v * L * P + pieces.begin[p] * WC) * channels,
                                         channels * pieces.at_point[p], M + p * TR * WC);
                            for (Index r = 0; r < f_rows; ++r)
                                transform_outputs(M + r * WC, panel_vectors,
                                                  tile_sums + r * 4 * most_tiles + v * L, c > 0);
                        }
                        if (c + depth < CG) continue;
                        for (Index r = 0; r < f_rows; ++r)
                            write_tiles(tile_sums + r * 4 * most_tiles, vectors, b ? b[group * FG + f + r] : T(0),
                                        relu, runs, run_count,
                                        y.data + (group * FG + f + r) * y.filter_step, y.row_step);
                    }
                }
            }
        });
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
