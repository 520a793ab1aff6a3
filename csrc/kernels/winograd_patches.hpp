// The patches that Winograd's algorithm transforms (winograd_transforms.hpp), strip by strip.
//
// The batch is a stack of rows of tiles, 2x2 outputs each; a strip is some consecutive tiles. Their patches are copied
// from lines (geometry.hpp), pixel (i, j) of all of them side by side, so that a vector has one pixel of each.
#pragma once

#include "winograd_transforms.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Is a filter with this axis one that Cut takes?
inline bool may_be_cut(const Axis& axis) {
    return axis.filter <= Cut::most_taps && axis.stride <= axis.filter && axis.dilation == 1;
}

inline Index count_tiles(const Geometry& g) {
    return g.input.n * divided_up(g.output.h, 2) * divided_up(g.output.w, 2);
}

// Tiles side by side in one row of tiles, and where the first of their outputs lies.
struct TileRun {
    Index tile, at, rows, columns;
};

// The batch, cut into strips of consecutive tiles.
struct TileStrips {
    Extent output, across;  // outputs and tiles of an image
    Geometry patches;       // those side by side have pixels (i, j) side by side in lines
    Index size, tiles, count, most_rows;  // tiles of a strip, all tiles, strips, rows of tiles that a strip touches

    PYCONV_SETUP TileStrips(const Geometry& g, const Pieces& pieces, Index size_)
        : output(g.output), across{divided_up(g.output.h, 2), divided_up(g.output.w, 2)},
          patches(g.input, across, {patch(pieces.h, g.window.h), patch(pieces.w, g.window.w)}, false), size(size_),
          tiles(count_tiles(g)), count(divided_up(tiles, size)),
          most_rows(divided_up(size - 1, across.w) + 1) {}

    Range at(Index strip) const { return {strip * size, smaller(tiles, (strip + 1) * size)}; }
    Index strip_of(Index tile) const { return tile / size; }

    // Lines are copied whole for every strip that needs some of their pixels: how often, where rows of tiles are long.
    double times_copied() const { return across.w > size ? double(across.w) / double(size) : 1; }

    // Where the outputs of a strip lie in an array of images so many elements apart; answers the number of runs.
    PYCONV_ONCE Index find_runs(Range strip, Index image_step, TileRun* runs) const {
        Index count = 0;
        for (Index tile = strip.begin; tile < strip.end;) {
            const Index row = tile / across.w, n = row / across.h, oy = row % across.h * 2, tx = tile % across.w;
            const Index here = smaller(across.w - tx, strip.end - tile);
            runs[count++] = {tile - strip.begin, n * image_step + oy * output.w + 2 * tx, smaller(2, output.h - oy),
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
    PYCONV_SETUP PatchMemory(const TileStrips& strips, int parts)
        : most_rows_(strips.most_rows), pixels_size_(strips.patches.taps * rounded_up(strips.size, tile_columns<T>)),
          part_size_(rounded_up(pixels_size_ + strips.patches.lines_size(most_rows_), 64 / Index(sizeof(T)))),
          numbers_(parts * part_size_), row_starts_(parts * most_rows_), moves_(parts) {
        for (int part = 0; part < parts; ++part) fill(lines(part), part_size_ - pixels_size_, T(0));
    }

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
    bool first_ = true;  // no channel has written the zeros above and below the image yet
};

}  // namespace
}  // namespace pyconv::PYCONV_ISA
