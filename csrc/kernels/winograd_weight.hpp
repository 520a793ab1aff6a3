// Convolution backward with respect to weights by Winograd's minimal filtering (winograd_transforms.hpp).
//
// Backward, a product m passes on what reaches the outputs it was added to, a tap what reaches the products it was in:
//
//   S[point] (channels and pieces, filters) = the sum over tiles of V[point] (channels and pieces, tiles) D[point]
//   V  transformed patches    D (tiles, filters)  transformed gradients of outputs    dW = transformed S
//
// Every thread takes strips of tiles and sums S of some channels and filters, so many as its cache holds; then the
// threads' sums are added up in order.
//
// Rounding: V and D are sums of up to four numbers each, and so larger than what the definition multiplies. Short sums
// make up for it.
#pragma once

#include "winograd_patches.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

template <class T>
constexpr Index gradient_tiles = rounded_up(256 / Index(sizeof(T)), tile_columns<T>);  // of a strip
template <class T>
constexpr Index gradient_filters = rounded_up(512 / Index(sizeof(T)), tile_columns<T>);  // that meet V in the cache
constexpr Index most_gradient_sums = 1 << 18;  // of a thread, unless one block of V has more
constexpr Index gradient_run = 16;             // products of a sum, see Rounding

// Where it is faster than direct convolution: of the tiles, of which those at the edge may be cut, what is multiplied,
// four for each number of a patch that is copied or transformed, again for every block of filters, and seven for each
// number of D, again for every block of channels, come to three quarters of the products of the definition. S costs as
// much as 32 tiles, every thread wants two strips, and fewer filters or channels leave the micro-kernel's tile too
// narrow. With a stride, a last tile that is cut might see pixels that no output sees. Not for float64: what that does
// most, checking gradients, is not worth the room.
template <class T>
bool weight_winograd_pays(const Geometry& g, Index FG, Index CG) {
    if constexpr (!hurries<T>) return false;
    const auto fits = [](const Axis& axis, Index outputs) {
        return may_be_cut(axis) && (axis.stride == 1 || outputs % 2 == 0);
    };
    if (!fits(g.window.h, g.output.h) || !fits(g.window.w, g.output.w) || FG < 24 || CG < tile_rows) return false;
    const Pieces pieces(g.window);
    const TileStrips strips(g, pieces, gradient_tiles<T>);
    const double P = double(pieces.products), products = double(FG * CG), tiles = double(strips.tiles);
    if (2 * threads_for(strips.count, tiles * P * products) > strips.count) return false;
    const Index blocks = divided_up(FG, gradient_filters<T>);
    const double channel_blocks = 1 + P * products / double(blocks * most_gradient_sums);
    const double of_patches = 4 * double((pieces.products + pieces.patch()) * CG * blocks) * strips.times_copied();
    const double of_D = 7 * double(winograd_points * FG) * channel_blocks;
    return (tiles + 32) * P * products + tiles * (of_patches + of_D) <=
           0.75 * double(g.input.n * g.output.h * g.output.w) * double(g.taps) * products;
}

// The gradients of two outputs, `step` apart, become those of the four products that they are sums of.
template <class V>
inline void spread_outputs(V* y, int step) {
    const V y0 = y[0], y1 = y[step];
    y[step] = y0 + y1;
    y[2 * step] = y0 - y1;
    y[3 * step] = -y1;
}

// The gradients of what met the inputs of a piece of `taps` taps, `step` apart, become those of the taps.
template <class V>
PYCONV_ONCE void gather_taps(V* g, Index step, Index taps) {
    if (taps == 3) {
        const V outer = (g[step] + g[2 * step]) / 2;
        g[0] += outer;
        g[step] = (g[step] - g[2 * step]) / 2;
        g[2 * step] = g[3 * step] + outer;
    } else if (taps == 2) {
        g[0] += g[step];
        g[step] += g[2 * step];
    } else {
        g[0] -= g[step];
    }
}

// Gradients of outputs (row, two columns for each tile of a strip, tile_columns) -> D (point, tile, tile_columns)
template <class T>
void transform_gradients(const T* dout, Index tiles, Index vectors, T* D) {
    constexpr Index L = vector_lanes<T>, TC = tile_columns<T>, most = gradient_tiles<T>;
    for (Index tile = 0; tile < tiles; ++tile)
        for (Index v = 0; v < vectors; ++v) {
            Vector<T> d[4][4];
            repeat<2>([&](auto j) {
                repeat<2>([&](auto i) {
                    d[i.value][j.value] = load<L>(dout + ((i.value * most + tile) * 2 + j.value) * TC + v * L);
                });
                spread_outputs(&d[0][j.value], 4);
            });
            repeat<4>([&](auto i) {
                spread_outputs(d[i.value], 1);
                repeat<4>([&](auto j) {
                    store<L>(D + ((i.value * 4 + j.value) * most + tile) * TC + v * L, d[i.value][j.value]);
                });
            });
        }
}

template <class T>
class WinogradGradient {
public:
    PYCONV_SETUP WinogradGradient(const Geometry& g, Index FG, Index CG)
        : pieces_(g.window), P_(pieces_.products), CG_(CG), outputs_(g.output.h * g.output.w),
          strips_(g, pieces_, gradient_tiles<T>),
          block_(larger(smaller(winograd_products / P_, CG), 1)),
          filters_(smaller(rounded_up(FG, TC), gradient_filters<T>)),
          channels_(smaller(CG, larger(most_gradient_sums / (P_ * filters_ * block_), 1) * block_)),
          parts_(threads_for(strips_.count, double(strips_.tiles) * double(P_ * FG * CG))),
          memory_(strips_, parts_), sums_size_(P_ * channels_ * filters_ + filters_), V_size_(P_ * block_ * most),
          part_size_(rounded_up(sums_size_ + V_size_ + (4 + winograd_points * filters_ / TC) * most * TC,
                                64 / Index(sizeof(T)))),
          scratch_(parts_ * part_size_), runs_(parts_ * most) {}

    // x and dout: of the first channel and filter of the group in the first image
    void run(const T* x, const T* dout, Index image_step, Index FG, T* dW, T* db) {
        for (Index f = 0; f < FG; f += filters_)
            for (Index c = 0; c < CG_; c += channels_) {
                const Range fs{f, smaller(FG, f + filters_)}, cs{c, smaller(CG_, c + channels_)};
                run_each(parts_, [&](int part) {
                    sum_strips(part, x, dout + f * outputs_, image_step, fs.size(), cs, c == 0);
                });
                parallel_for(cs.size(), double(P_ * filters_), [&](Index channel) { finish(fs, cs, channel, dW); });
                for (Index i = 0; c == 0 && i < fs.size(); ++i)
                    db[f + i] = sum_of_parts(scratch_.data() + P_ * channels_ * filters_ + i, part_size_, parts_);
            }
    }

private:
    static constexpr Index TC = tile_columns<T>, L = vector_lanes<T>, WC = winograd_columns<T>, TR = tile_rows;
    static constexpr Index most = gradient_tiles<T>;

    // Sums S of channels cs, from zero, and db, over a part's strips. dout: of the first of the filters
    void sum_strips(int part, const T* x, const T* dout, Index image_step, Index filters, Range cs, bool biases) {
        T* const sums = scratch_.data() + part * part_size_;
        T* const db = sums + P_ * channels_ * filters_;
        T* const V = sums + sums_size_;
        T* const pixels = V + V_size_;
        T* const D = pixels + 4 * most * TC;
        TileRun* const runs = runs_.data() + part * most;
        fill(sums, sums_size_, T(0));
        const Range mine = share(strips_.count, parts_, part);
        for (Index at = mine.begin; at < mine.end; ++at) {
            const Range strip = strips_.at(at);
            const Index tiles = rounded_up(strip.size(), WC);
            const Index run_count = strips_.find_runs(strip, image_step, runs);
            if (strip.size() < tiles) fill(pixels, 4 * most * TC, T(0));
            for_panels<T>({0, filters}, [&](Index panel, Range fs) {
                T* const to = D + panel * winograd_points * most * TC;
                for (Index r = 0; r < run_count; ++r)
                    take_gradients(dout + fs.begin * outputs_, fs.size(), runs[r], pixels);
                transform_gradients(pixels, tiles, divided_up(fs.size(), L), to);
                // of point (1, 1) every output is in the sum
                for (Index f = fs.begin; biases && f < fs.end; f += L)
                    store<L>(db + f, load<L>(db + f) + add_rows(to + 5 * most * TC + f - fs.begin, tiles));
            });
            Patches<T> patches(strips_, memory_, part, strip, tiles / L);
            for (Index c = cs.begin; c < cs.end; c += block_) {
                const Range block{c, smaller(cs.end, c + block_)};
                patches.transform(pieces_, x, block, V);
                multiply_points(V, block.size(), tiles / WC, D, filters, c - cs.begin, cs.size(), sums);
            }
        }
    }

    // The gradients of one run of tiles -> pixels, zeros where a tile is cut.
    void take_gradients(const T* dout, Index filters, const TileRun& run, T* pixels) const {
        const Index width = strips_.output.w, tiles = divided_up(run.columns, 2);
        for (Index i = 0; i < 2; ++i) {
            T* const to = pixels + (i * most + run.tile) * 2 * TC;
            if (i < run.rows)
                transpose(dout + run.at + i * width, outputs_, filters, run.columns, to, TC);
            const Index columns = i < run.rows ? run.columns : 0;
            fill(to + columns * TC, (2 * tiles - columns) * TC, T(0));
        }
    }

    // S += V D for a block of `channels` channels, from `first` on, of all `count`
    void multiply_points(const T* V, Index channels, Index line_count, const T* D, Index filters, Index first,
                         Index count, T* sums) const {
        Index lines[most / WC];
        for (Index i = 0; i < line_count; ++i) lines[i] = i * P_ * channels * WC;
        const Depth<T> depth{line_count, WC, lines, 1, TC, gradient_run};
        for (Index p = 0; p < winograd_points; ++p) {
            const Index rows = channels * pieces_.at_point[p];
            for_panels<T>({0, filters}, [&](Index panel, Range fs) {
                const Index vectors = divided_up(fs.size(), L);
                const T* const b = D + (panel * winograd_points + p) * most * TC;
                const Index row = pieces_.begin[p] * count + first * pieces_.at_point[p];
                T* const c = sums + (panel * P_ * channels_ + row) * TC;
                for (Index r = 0; r < rows; r += TR) {
                    const Index height = smaller(TR, rows - r);
                    const T* a[TR];
                    for (Index i = 0; i < height; ++i) a[i] = V + (pieces_.begin[p] * channels + r + i) * WC;
                    tile_of<T>(height, vectors)(a, depth, b, c + r * TC, TC, Ends<T>{true, nullptr, false});
                }
            });
        }
    }

    // S of one channel of cs -> dW
    void finish(Range fs, Range cs, Index channel, T* dW) const {
        const Index taps = pieces_.h.taps * pieces_.w.taps;
        T* const to = dW + (fs.begin * CG_ + cs.begin + channel) * taps;
        // some filters side by side, which lie at `sums` in every part
        const auto finish_some = [&](const Pair& pair, const T* sums, Index f, Index lanes) {
            Vector<T> g[4][4];
            for (int i = 0; i <= pair.longer; ++i)
                for (int j = 0; j <= pair.shorter; ++j) {
                    const Index step = pair.step[point_of(pair.longer, i)][point_of(pair.shorter, j)];
                    g[i][j] = Vector<T>{};
                    for (int part = 0; part < parts_; ++part)
                        g[i][j] += load<L>(sums + part * part_size_ + step * TC);
                }
            for (Index i = 0; i <= pair.longer; ++i) gather_taps(g[i], 1, pair.shorter);
            for (Index j = 0; j < pair.shorter; ++j) gather_taps(&g[0][j], 4, pair.longer);
            for (Index i = 0; i < pair.longer; ++i)
                for (Index j = 0; j < pair.shorter; ++j) {
                    const Index tap = pair.from + i * pair.long_step + j * pair.short_step;
                    for (Index lane = 0; lane < lanes; ++lane) to[(f + lane) * CG_ * taps + tap] = g[i][j][lane];
                }
        };
        pieces_.for_each(channel, cs.size(), pieces_.w.taps, 1, [&](const Pair& pair) {
            for_panels<T>({0, fs.size()}, [&](Index panel, Range some) {
                const T* const sums = scratch_.data() + panel * P_ * channels_ * TC;
                for (Index f = some.begin; f < some.end; f += L)
                    finish_some(pair, sums + (f - some.begin), f, smaller(L, some.end - f));
            });
        });
    }

    Pieces pieces_;
    Index P_, CG_, outputs_;  // products of a channel, channels, outputs of an image
    TileStrips strips_;
    Index block_, filters_, channels_;  // channels of V, and filters and channels of a thread's sums
    int parts_;
    PatchMemory<T> memory_;
    Index sums_size_, V_size_, part_size_;
    Scratch<T> scratch_;
    Scratch<TileRun> runs_;
};

template <class T>
void weight_gradient_winograd(const T* x, const T* dout, T* dW, T* db, const Geometry& g, Index FG, Index CG,
                              Index groups) {
    const Index plane = g.input.h * g.input.w, outputs = g.output.h * g.output.w;
    WinogradGradient<T> gradient(g, FG, CG);
    for (Index group = 0; group < groups; ++group) {
        const Index f = group * FG;
        gradient.run(x + group * CG * plane, dout + f * outputs, groups * FG * outputs, FG, dW + f * CG * g.taps,
                     db + f);
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
