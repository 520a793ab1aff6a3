// Convolution backward with respect to weights.
//
//   x         (N, C, H, W)       C = groups * CG
//   dW, db    (FN, CG, FH, FW)   FN = groups * FG;  K = CG*FH*FW;  db (FN)
//   dout      (N, FN, OH, OW)
//
// For one image and one group, with col its column matrix: dW^T (K, FG) = col^T dout^T. The micro-kernel reads col^T
// straight from the lines (geometry.hpp), one stream of numbers per tap; dout is packed with its filters side by side.
#pragma once

#include "convolution_weight_direct.hpp"
#include "depthwise_weight.hpp"
#include "winograd_weight.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Filters that meet a strip's pixels together: so many that reading the pixels again for the next block is cheap.
constexpr Index most_block_filters = 64;

// The sums of one part: of every panel of a block's filters dW^T (K, tile_columns), and their db (tile_columns).
//
// A unit of work is a block of filters times a tile of taps. Where the weights are few, each thread instead takes
// strips of the batch for all of them, and the threads' sums are added up in order.
template <class T>
class WeightGradient {
public:
    PYCONV_SETUP WeightGradient(const T* x, const T* dout, T* dW, T* db, const Geometry& g, const Sizes& s,
                                Index groups)
        : x_(x), dout_(dout), dW_(dW), db_(db), g_(g), s_(s), strips_(g.input.n, g.output, false), groups_(groups),
          group_blocks_(divided_up(s.FG, most_block_filters)), blocks_(groups * group_blocks_),
          panels_(divided_up(divided_up(divided_up(s.FG, L), group_blocks_), tile_vectors)),
          tiles_(divided_up(s.K, tile_rows)), rows_(divided_up(s.K, tiles_)),
          work_(double(g.input.n * groups) * double(s.FG * s.K) * double(s.P)),
          by_strip_(strips_pay()), parts_(threads_for(by_strip_ ? strips_.count : blocks_ * tiles_, work_)),
          channels_(smaller(s.CG, divided_up(most_depth, g.taps) + 2)),
          line_step_(g.lines_size(strips_.rows)),
          panel_size_(strips_.rows * g.output.w * TC), block_size_(panels_ * (s.K + 1) * TC),
          sums_size_((by_strip_ ? blocks_ : 1) * block_size_),
          part_size_(rounded_up(panels_ * panel_size_ + sums_size_ + channels_ * line_step_, 64 / Index(sizeof(T)))),
          scratch_(parts_ * part_size_), offsets_(g.taps), row_starts_(parts_ * strips_.rows) {
        g.find_offsets(offsets_.data());
    }

    void run() {
        run_each(parts_, [this](int part) {
            fill(lines(part), channels_ * line_step_, T(0));
            const Range strips = by_strip_ ? share(strips_.count, parts_, part) : Range{0, strips_.count};
            const Range units = by_strip_ ? Range{0, blocks_ * tiles_} : share(blocks_ * tiles_, parts_, part);
            for (Index unit = units.begin; unit < units.end;) {
                const Index block = unit / tiles_, first = unit % tiles_;
                const Index last = smaller(tiles_, first + units.end - unit);
                const Range ks{first * rows_, smaller(s_.K, last * rows_)};
                sum_block(part, block, ks, strips);
                if (!by_strip_) finish(block, ks, sums(part, block), 1);
                unit += last - first;
            }
        });
        for (Index block = 0; by_strip_ && block < blocks_; ++block) finish(block, {0, s_.K}, sums(0, block), parts_);
    }

private:
    static constexpr Index TC = tile_columns<T>;
    static constexpr int L = int(vector_lanes<T>);

    bool strips_pay() const {
        const int threads = threads_for(strips_.count, work_);
        return blocks_ * tiles_ < 16 * threads ||
               (strips_.count >= 4 * threads && threads * blocks_ * panels_ * TC * s_.K <= 1 << 18);
    }

    T* part(int index) const { return scratch_.data() + index * part_size_; }
    T* sums(int index, Index block) const {
        return part(index) + panels_ * panel_size_ + (by_strip_ ? block * block_size_ : 0);
    }

    T* lines(int index) const { return part(index) + panels_ * panel_size_ + sums_size_; }

    // The filters of a block, counted over all groups.
    Range filters_of(Index block) const {
        const Index group = block / group_blocks_;
        const Range vectors = share(divided_up(s_.FG, L), int(group_blocks_), int(block % group_blocks_));
        return {group * s_.FG + vectors.begin * L, group * s_.FG + smaller(s_.FG, vectors.end * L)};
    }

    // Sums taps ks of a block over strips.
    void sum_block(int index, Index block, Range ks, Range strips) {
        const Index OH = g_.output.h, OW = g_.output.w, plane = g_.input.h * g_.input.w;
        const T* const group_x = x_ + block / group_blocks_ * s_.CG * plane;
        const Range filters = filters_of(block);
        T* const panels = part(index);
        T* const block_sums = sums(index, block);
        Index* const row_start = row_starts_.data() + index * strips_.rows;
        for_panels<T>(filters, [&](Index panel, Range) {
            T* const panel_sums = block_sums + panel * (s_.K + 1) * TC;
            fill(panel_sums + ks.begin * TC, ks.size() * TC, T(0));
            fill(panel_sums + s_.K * TC, TC, T(0));
        });
        for (Index at = strips.begin; at < strips.end; ++at) {
            const Range strip = strips_.at(at);
            g_.find_rows(strip, row_start);
            for_panels<T>(filters, [&](Index panel, Range fs) {
                T* const to = panels + panel * panel_size_;
                for_image_rows(strip, OH, [&](Index n, Index oy, Index row, Index rows) {
                    const T* from = dout_ + (n * groups_ * s_.FG + fs.begin) * s_.P + oy * OW;
                    transpose(from, s_.P, fs.size(), rows * OW, to + (row - strip.begin) * OW * TC, TC);
                });
                T* const db = block_sums + (panel * (s_.K + 1) + s_.K) * TC;
                for (Index j = 0; ks.begin == 0 && j < fs.size(); j += L)
                    store<L>(db + j, load<L>(db + j) + add_rows(to + j, strip.size() * OW));
            });
            // as many taps at a time as there is room for their channels' lines
            const Index step = channels_ == s_.CG ? s_.K : larger((channels_ - 2) * g_.taps / rows_, 1) * rows_;
            for (Index k = ks.begin; k < ks.end; k += step) {
                const auto taps_from = [&](Index from) { return Range{from, smaller(ks.end, from + step)}; };
                const Range now = taps_from(k);
                const Index products = divided_up(now.size(), rows_);
                Upcoming<T> upcoming;  // of an input in place, which the product reads as it lies, nothing
                const bool copied = !g_.in_place;
                if (copied && now.end < ks.end)
                    upcoming = {g_, group_x, channels_of(taps_from(now.end)), strip, products};
                else if (copied && at + 1 < strips.end)
                    upcoming = {g_, group_x, channels_of(taps_from(ks.begin)), strips_.at(at + 1), products};
                multiply_taps(now, strip, filters, group_x, panels, lines(index), row_start, block_sums, upcoming);
            }
        }
    }

    void multiply_taps(Range ks, Range strip, Range filters, const T* group_x, const T* panels, T* lines,
                       const Index* row_start, T* block_sums, Upcoming<T>& upcoming) {
        const Index plane = g_.input.h * g_.input.w;
        const Range channels = channels_of(ks);
        if (!g_.in_place) copy_lines(g_, group_x, channels, strip, lines, line_step_, true);
        const T* const first_line = g_.in_place ? group_x + channels.begin * plane : lines;
        const Index channel_step = g_.in_place ? plane : line_step_;
        // Short sums: there are so many products that their roundings would show.
        const Depth<T> positions{strip.size(), g_.output.w, row_start, 1, TC, 32};
        const auto stream = [&](Index k) {
            return first_line + (k / g_.taps - channels.begin) * channel_step + offsets_.data()[k % g_.taps];
        };
        for (Index k = ks.begin; k < ks.end; k += rows_) {
            upcoming.ask_for_more();
            // What the next tile's streams begin with, where they come from memory: once a CPU sees a stream, it asks
            // for what follows by itself.
            for (Index i = k + rows_; g_.in_place && i < smaller(k + 2 * rows_, ks.end); ++i)
                for (Index line = 0; line < 3; ++line)
                    __builtin_prefetch(stream(i) + row_start[0] + line * (64 / Index(sizeof(T))));
            const Index rows = smaller(rows_, ks.end - k);
            const T* a[tile_rows];
            for (Index i = 0; i < rows; ++i) a[i] = stream(k + i);
            for_panels<T>(filters, [&](Index panel, Range fs) {
                T* const to = block_sums + (panel * (s_.K + 1) + k) * TC;
                tile_of<T>(rows, divided_up(fs.size(), L))(a, positions, panels + panel * panel_size_, to, TC,
                                                           Ends<T>{true, nullptr, false});
            });
        }
    }

    Range channels_of(Range ks) const { return {ks.begin / g_.taps, divided_up(ks.end, g_.taps)}; }

    // Writes taps ks of a block, `count` parts' sums added up.
    void finish(Index block, Range ks, const T* block_sums, int count) {
        for_panels<T>(filters_of(block), [&](Index panel, Range fs) {
            const T* const panel_sums = block_sums + panel * (s_.K + 1) * TC;
            for (Index f = fs.begin; f < fs.end; ++f) {
                const auto total = [&](Index k) {
                    return sum_of_parts(panel_sums + k * TC + (f - fs.begin), part_size_, count);
                };
                for (Index k = ks.begin; k < ks.end; ++k) dW_[f * s_.K + k] = total(k);
                if (ks.begin == 0) db_[f] = total(s_.K);
            }
        });
    }

    const T *x_, *dout_;
    T *dW_, *db_;
    const Geometry& g_;
    const Sizes& s_;
    Strips<T> strips_;
    Index groups_, group_blocks_, blocks_, panels_;  // blocks of a group, of all, and panels of the largest block
    Index tiles_, rows_;                             // of taps, and taps of a tile
    double work_;
    bool by_strip_;
    int parts_;
    Index channels_, line_step_, panel_size_, block_size_, sums_size_, part_size_;
    Scratch<T> scratch_;
    Scratch<Index> offsets_, row_starts_;
};

template <class T>
void conv2d_backward_weight(const T* x, const T* dout, T* dW, T* db, Shape input, Shape filter, Extent output,
                            Window window, Index groups) {
    const Sizes s(filter, output, groups);
    const Geometry g(input, output, window, !is_depthwise(s, groups));
    if (is_depthwise(s, groups))
        plane_weight_gradient(x, dout, dW, db, g);
    else if (weights_are_few<T>(g, s, groups))
        few_weights_gradient(x, dout, dW, db, g, s);
    else if (weight_winograd_pays<T>(g, s.FG, s.CG))
        weight_gradient_winograd(x, dout, dW, db, g, s.FG, s.CG, groups);
    else
        WeightGradient<T>(x, dout, dW, db, g, s, groups).run();
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
