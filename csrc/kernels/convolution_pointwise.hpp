// Pointwise convolution: filters of a single pixel, where they and the channels are many.
//
//   x  (N, C, H*W)   C = groups * CG
//   W  (FN, CG)      FN = groups * FG
//   y  (N, FN, P)    the first P pixels of an image, mostly all
//
// An image is its own column matrix, transposed. For one image and one group:
//
//   y^T (P, FG) = x^T (P, CG) W^T (CG, FG)
//
// x is read where it lies (pixels.hpp), and only W is packed.
#pragma once

#include "gemm.hpp"
#include "pixels.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_pixels = 224;  // of a strip, which with all its channels stays in the second-level cache

// Where it is faster than packing the pixels: where nearly all tiles are full, and so many channels are summed up that
// what transposing takes does not show.
template <class T>
bool pointwise_pays(const Geometry& g, Index FG, Index CG, Index groups) {
    const Index P = g.output.h * g.output.w;
    return g.is_one_run() && FG % tile_columns<T> == 0 && CG >= 128 &&
           P >= vector_lanes<T> && tiles_are_full(P) && groups * FG * CG <= most_packed_weights;
}

// Writes the sums (pixels, tile_columns) of some filters to y.
template <class T>
PYCONV_ONCE void write_pixels(const T* from, Index pixels, bool relu, T* y, Index P) {
    constexpr Index L = vector_lanes<T>, TC = tile_columns<T>;
    for (Index f = 0; f < TC; f += L)
        for (Index next = 0; next < pixels; next += L) {
            const Index p = smaller(next, pixels - L);  // the last square may overlap the one before
            transpose_sums(from + p * TC + f, y + f * P + p, P);
        }
    for (Index f = 0; relu && f < TC; ++f) pass_relu(y + f * P, y + f * P, y + f * P, pixels);
}

template <class T>
void convolve_pointwise(const T* x, const Weights<T>& all_weights, const T* b, T* y, const Geometry& g, Index FG,
                        Index CG, Index groups, bool relu) {
    constexpr Index TC = tile_columns<T>, R = tile_pixels;
    const Index P = g.output.h * g.output.w, plane = g.input.h * g.input.w;
    const Index panels = FG / TC, tiles = divided_up(P, R);
    const Index strips = divided_up(P, most_pixels), most = divided_up(tiles, strips) * R;
    const Index items = g.input.n * groups * strips, units = items * panels;
    const int parts = threads_for(units, double(g.input.n * groups) * double(FG * CG) * double(P));
    const Scratch<T> packed(groups * FG * CG), sums(parts * most * TC);
    const Scratch<Index> offsets(CG);
    for (Index c = 0; c < CG; ++c) offsets.data()[c] = c * plane;
    parallel_for(groups * panels, double(TC * CG), [&](Index item) {
        const Weights<T> w = all_weights.of(item / panels);
        const Matrix<T> W{w.data, w.channel_step, w.row_step};
        pack_b(W.from(0, item % panels * TC), TC, CG, packed.data() + item * TC * CG);
    });
    // the strips of one image and group after those of another
    const auto strip_at = [&](Index item) {
        const Range in_tiles = share(tiles, int(strips), int(item % strips));
        return Range{in_tiles.begin * R, smaller(in_tiles.end * R, P)};
    };
    const auto pixels_at = [&](Index item) { return x + item / strips * CG * plane + strip_at(item).begin; };
    run_each(parts, [&](int part) {
        T* const tile_sums = sums.data() + part * most * TC;
        const Range mine = share(units, parts, part);
        for (Index unit = mine.begin; unit < mine.end; ++unit) {
            const Index item = unit / panels, panel = item / strips % groups * panels + unit % panels;
            const Index next = smaller(unit + 1, units - 1) / panels;
            const Range strip = strip_at(item);
            const T *const pixels = pixels_at(item), *const bias = b ? b + panel * TC : nullptr;
            const T* const W = packed.data() + panel * TC * CG;
            T* const to = y + (item / strips / groups * groups * FG + panel * TC) * P + strip.begin;
            for (Index tile = 0; tile < strip.size(); tile += R) {
                const Index p = smaller(tile, strip.size() - R);  // the last one may overlap the one before
                const T* const ahead = tile + R < strip.size() ? pixels + p + R : pixels_at(next);
                multiply_pixels(pixels + p, offsets.data(), CG, W, bias, tile_sums + p * TC, ahead + R - 1, plane,
                                to + p, P);
            }
            write_pixels(tile_sums, strip.size(), relu, to, P);
        }
    });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
