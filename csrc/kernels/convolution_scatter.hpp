// Convolution backward with respect to data, by scattering: dx, W and dout as in convolution_data.hpp.
//
//   panels of A     (filter, tile_rows)      W^T: the numbers of some taps for every filter
//   panels of dout  (filter, tile_columns)   the numbers of some windows for every filter
//   lines           (channel, line, phase, column)   see geometry.hpp
//
// A tile of dcol^T = W^T dout has taps for rows and windows for columns. Its rows are added to the lines under the
// windows, each from its tap's offset on. What lines hold when all windows have added to them is dx with the padding
// around it.
#pragma once

#include "convolution.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_scattered = 1 << 16;  // numbers of the lines of a block of channels: they stay in the cache
constexpr Index fewest_taps = 64;          // of a block, that packing dout for it pays

// Panels of A = W^T for `depth` filters, K numbers apart, and some channels, the taps of each in the given order.
template <class T>
void pack_taps(const T* W, Index K, Index channels, Index tap_count, const Index* order, Index depth, T* to) {
    for (Index f = 0; f < depth; ++f, W += K, to += tile_rows)
        for (Index c = 0, k = 0; c < channels; ++c)
            for (Index t = 0; t < tap_count; ++t, ++k)
                to[k / tile_rows * tile_rows * depth + k % tile_rows] = W[c * tap_count + order[t]];
}

// A vector of a tile's row, the one from `lane` on, and where in a channel's lines it is added. `inside` masks the
// lanes that are of one row of windows: a vector lands once for every row that it has some of.
template <class T>
struct Landing {
    Index lane, to;
    WholeLanes<T, int(vector_lanes<T>)> inside;
};

// The landings of some columns; answers their number.
template <class T>
PYCONV_ONCE Index find_landings(Range columns, Index width, const Index* row_start, Landing<T>* landings) {
    constexpr int L = int(vector_lanes<T>);
    Index count = 0;
    for_runs(columns, width, row_start, [&](Index at, Index from, Index run) {
        const Index begin = at - columns.begin, end = begin + run;
        for (Index lane = begin / L * L; lane < end; lane += L) {
            const auto lanes = lane_numbers<T, L>() + WholeLanes<T>(lane);
            landings[count++] = {lane, from + (lane - begin),
                                 (lanes >= WholeLanes<T>(begin)) & (lanes < WholeLanes<T>(end))};
        }
    });
    return count;
}

// Copies the pixels of lines back to dx. `all`: no pixel of dx is left out.
template <class T>
void crop_lines(const Geometry& g, const T* lines, Index channel_step, Range channels, Range strip, bool all, T* dx) {
    const Index stride = g.window.w.stride, H = g.input.h, W = g.input.w;
    const bool in_pairs = all && stride == 2;
    // of two phases, the one that the first column belongs to
    const Index even = in_pairs ? g.window.w.pad_before % 2 : 0;
    for (Index c = channels.begin; c < channels.end; ++c, lines += channel_step)
        for_images(g, strip, [&](Index n, Index y, Index line, Index count) {
            for (Index i = larger(-y, 0); i < smaller(H - y, count); ++i) {
                T* const to = dx + ((n * g.input.c + c) * H + y + i) * W;
                const auto from = [&](Index phase) {
                    return lines + (line + i) * g.pitch + phase * g.phase_width + phase_of(g, phase).at;
                };
                if (in_pairs) {
                    alternate(to, from(even), from(1 - even), W);
                    continue;
                }
                for (Index phase = 0; phase < g.phases; ++phase) {
                    const Phase p = phase_of(g, phase);
                    spread(to + p.x, stride, from(phase), p.count);
                }
            }
        });
}

// An item of work is a block of channels of one group and image, or of several images where these are small: no other
// thread adds to its pixels.
template <class T>
class ScatteredGradient {
public:
    PYCONV_SETUP ScatteredGradient(const T* dout, const T* W, T* dx, const Geometry& g, const Sizes& s, Index groups)
        : dout_(dout), W_(W), dx_(dx), g_(g), s_(s), groups_(groups), OH_(g.output.h), OW_(g.output.w),
          images_(smaller(larger(g.input.n, 1), larger(fewest_positions / s.P, 1))), rows_(images_ * OH_),
          line_step_(g.lines_size(rows_)),
          channels_(smaller(s.CG, larger(most_scattered / line_step_, divided_up(fewest_taps, g.taps)))),
          blocks_(divided_up(s.CG, channels_)), items_(divided_up(g.input.n, images_) * groups * blocks_),
          depth_(divided_up(s.FG, divided_up(s.FG, most_depth))),
          at_once_(depth_ == s.FG && rows_ * OW_ <= most_positions),
          chunk_(smaller(rounded_up(rows_ * OW_, TC), rounded_up(at_once_ ? most_positions : fewest_positions, TC))),
          block_taps_(rounded_up(channels_ * g.taps, TR)), weights_size_(groups * blocks_ * block_taps_ * s.FG),
          pack_once_(weights_size_ <= most_packed_weights), panels_size_(panel_rows(depth_) * chunk_),
          lines_size_(channels_ * line_step_ + L), A_size_(pack_once_ ? 0 : block_taps_ * depth_),
          part_size_(rounded_up(panels_size_ + lines_size_ + A_size_ + TR * TC, 64 / Index(sizeof(T)))),
          parts_(threads_for(items_, double(g.input.n * groups) * double(s.FG * s.K) * double(s.P))),
          scratch_(parts_ * part_size_), packed_once_(pack_once_ ? weights_size_ : 0), order_(g.taps),
          targets_(channels_ * g.taps), row_starts_(parts_ * 2 * rows_), moves_memory_(parts_),
          dout_geometry_({g.input.n, groups * s.FG, OH_, OW_}, g.output, {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}, true) {
        // Taps column by column: those that follow each other then add to different lines.
        const Index FH = g.window.h.filter, FW = g.window.w.filter;
        for (Index t = 0; t < g.taps; ++t) order_.data()[t] = t % FH * FW + t / FH;
        for (Index k = 0; k < channels_ * g.taps; ++k)
            targets_.data()[k] = k / g.taps * line_step_ + g.tap_offset(order_.data()[k % g.taps]);
    }

    void run() {
        const Index blocks = groups_ * blocks_;
        if (pack_once_)
            parallel_for(blocks, double(block_taps_ * s_.FG), [this](Index item) {
                for (Index f = 0; f < s_.FG; f += depth_) pack(item, f, packed_once(item, f));
            });
        run_each(parts_, [this](int part) {
            const Range mine = share(items_, parts_, part);
            for (Index item = mine.begin; item < mine.end; ++item)
                sum_item(part, item, at_once_ && item > mine.begin && item % blocks_ > 0);
        });
    }

private:
    static constexpr Index TC = tile_columns<T>, TR = tile_rows, L = vector_lanes<T>;

    Range channels_of(Index item) const { return share(s_.CG, int(blocks_), int(item % blocks_)); }
    Index group_of(Index item) const { return item / blocks_ % groups_; }

    // Where an item's panels of A are, from filter f on.
    T* packed_once(Index item, Index f) const {
        return packed_once_.data() + (item % (groups_ * blocks_) * s_.FG + f) * block_taps_;
    }
    void pack(Index item, Index f, T* to) const {
        const Range cs = channels_of(item);
        pack_taps(W_ + (group_of(item) * s_.FG + f) * s_.K + cs.begin * g_.taps, s_.K, cs.size(), g_.taps,
                  order_.data(), smaller(depth_, s_.FG - f), to);
    }

    // `packed`: the block of channels before has packed the same dout.
    void sum_item(int part, Index item, bool packed) {
        T* const panels = scratch_.data() + part * part_size_;
        T* const lines = panels + panels_size_;
        T* const A = lines + lines_size_;
        T* const tile = A + A_size_;
        Index* const line_start = row_starts_.data() + part * 2 * rows_;
        Index* const gradient_start = line_start + rows_;
        const Index n = item / blocks_ / groups_ * images_, last = smaller(g_.input.n, n + images_);
        const Index group = group_of(item), positions = (last - n) * s_.P;
        const Range stack{n * OH_, last * OH_}, cs = channels_of(item);
        g_.find_rows(stack, line_start);
        dout_geometry_.find_rows(stack, gradient_start);
        fill(lines, lines_size_, T(0));
        for (Index f = 0; f < s_.FG; f += depth_) {
            const Index depth = smaller(depth_, s_.FG - f), no_offset = 0;
            if (!pack_once_) pack(item, f, A);
            for (Index p = 0; p < positions; p += chunk_) {
                const Range ps{p, smaller(positions, p + chunk_)};
                if (!packed)
                    pack_columns(dout_geometry_, &no_offset, gradient_start, dout_ + (group * s_.FG + f) * s_.P, s_.P,
                                 0, depth, ps, moves_memory_.data()[part], panels);
                scatter(pack_once_ ? packed_once(item, f) : A, cs.size() * g_.taps, depth, panels, ps, line_start,
                        tile, lines);
            }
        }
        const bool all = every_pixel_has_a_line();
        const Range of_all{group * s_.CG + cs.begin, group * s_.CG + cs.end};
        const Index C = groups_ * s_.CG, plane = g_.input.h * g_.input.w;
        for (Index i = n; !all && i < last; ++i) fill(dx_ + (i * C + of_all.begin) * plane, cs.size() * plane, T(0));
        crop_lines(g_, lines, line_step_, of_all, stack, all, dx_);
    }

    // Adds the products of `taps` rows of A with positions ps to lines.
    void scatter(const T* A, Index taps, Index depth, const T* panels, Range ps, const Index* line_start, T* tile,
                 T* lines) const {
        Landing<T> landings[TC];
        for (Index q = ps.begin; q < ps.end; q += TC) {
            const Range columns{q, smaller(ps.end, q + TC)};
            const T* const panel = panels + (q - ps.begin) * panel_rows(depth);
            const Index landed = find_landings(columns, OW_, line_start, landings);
            for (Index k = 0; k < taps; k += TR) {
                const Index count = smaller(TR, taps - k);
                const T* a[TR];
                for (Index i = 0; i < count; ++i) a[i] = A + k * depth + i;
                tile_of<T>(count, divided_up(columns.size(), L))(a, Depth<T>{1, depth, one_line, TR}, panel, tile, TC,
                                                                 Ends<T>{});
                for (Index j = 0; j < landed; ++j) {
                    const auto inside = landings[j].inside;
                    const T* sums = tile + landings[j].lane;
                    T* const to = lines + landings[j].to;
                    for (Index i = 0; i < count; ++i, sums += TC) {
                        T* const pixels = to + targets_.data()[k + i];
                        store<L>(pixels, load<L>(pixels) + (inside ? load<L>(sums) : Vector<T>{}));
                    }
                }
            }
        }
    }

    // Whether every pixel lies under some window or between its taps. The others are in no line: their gradient is 0.
    bool every_pixel_has_a_line() const {
        const auto spans = [](const Axis& axis, Index outputs, Index inputs) {
            return (outputs - 1) * axis.stride + reach(axis) - axis.pad_before >= inputs;
        };
        const Window& window = g_.window;
        return spans(window.h, OH_, g_.input.h) && spans(window.w, OW_, g_.input.w) && g_.phases == window.w.stride;
    }

    const T *dout_, *W_;
    T* dx_;
    const Geometry g_;
    const Sizes& s_;
    Index groups_, OH_, OW_;
    Index images_, rows_;       // of an item, and their output rows
    Index line_step_;           // from channel to channel in lines
    Index channels_, blocks_;   // of a block, and blocks of a group
    Index items_, depth_;
    bool at_once_;              // is all of an item's dout packed together?
    Index chunk_;               // positions packed together
    Index block_taps_, weights_size_;
    bool pack_once_;            // are weights packed once for all images?
    Index panels_size_;
    Index lines_size_;          // a whole vector lands at their end
    Index A_size_, part_size_;
    int parts_;
    Scratch<T> scratch_, packed_once_;
    Scratch<Index> order_, targets_, row_starts_;  // of a channel's taps; where in lines each of a block's taps adds
    Scratch<MovesMemory> moves_memory_;
    Geometry dout_geometry_;  // dout is its own lines, of a filter that is one pixel
};

}  // namespace
}  // namespace pyconv::PYCONV_ISA
