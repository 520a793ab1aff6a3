// Packing: copying the operands of a matrix product into panels that the micro-kernel reads from front to back.
//
//   panel of B   (depth, tile_columns)   a row per step k, a lane per column; lanes that are not used are zeros up to a
//                                        whole vector, and anything behind it
//   panel of A   (depth, tile_rows)      of weights alone, where they do not lie one after another along k
#pragma once

#include "geometry.hpp"
#include "tile.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_depth = 320;  // steps of depth packed at a time
constexpr Index most_packed_weights = 1 << 20;  // numbers of them that may be packed once for a whole call

// Rows of memory for a panel that is packed beside others, a step of all of them at a time. An odd number, lest the
// rows of a step fall into the same few lines of the first-level cache and drive each other out.
constexpr Index panel_rows(Index depth) { return depth | 1; }

// Calls visit(panel, some) for the panels that hold some columns. Where one vector would be left over, the last two
// panels share the vectors, for a tile of a single one is slow.
template <class T, class Visit>
inline void for_panels(Range columns, const Visit& visit) {
    constexpr Index TC = tile_columns<T>, L = vector_lanes<T>;
    for (Index panel = 0; columns.begin < columns.end; ++panel) {
        const bool one_over = columns.size() > TC && columns.size() <= TC + L;
        const Index end = smaller(columns.begin + (one_over ? (tile_vectors + 1) / 2 * L : TC), columns.end);
        visit(panel, Range{columns.begin, end});
        columns.begin = end;
    }
}

// The numbers of a group's weight matrix (rows, K), k = (channel, tap), wherever they lie.
template <class T>
struct Weights {
    const T* data;
    Index row_step, channel_step;
    const Index* taps;  // offset of every tap
    Index group_step;

    Weights of(Index group) const { return {data + group * group_step, row_step, channel_step, taps, group_step}; }

    // Whether the numbers of a row lie one after another.
    bool is_contiguous(Index tap_count) const {
        return channel_step == tap_count && taps[tap_count - 1] == tap_count - 1;
    }

    // Copies rows [rows.begin, rows.end) and steps [k, k + depth) into panels of A.
    void pack(Range rows, Index k, Index depth, Index tap_count, T* to) const {
        for (Index begin = rows.begin; begin < rows.end; begin += tile_rows) {
            const Index count = smaller(tile_rows, rows.end - begin);
            Index channel = k / tap_count, tap = k % tap_count;
            for (Index i = 0; i < depth; ++i, to += tile_rows) {
                const T* from = data + begin * row_step + channel * channel_step + taps[tap];
                if (count == tile_rows && row_step == 1)
                    __builtin_memcpy(to, from, sizeof(T) * tile_rows);
                else
                    for (Index r = 0; r < count; ++r) to[r] = from[r * row_step];
                if (++tap == tap_count) tap = 0, ++channel;
            }
        }
    }
};

// The sum of `count` vectors that lie a panel's row apart, in four chains that do not wait for each other.
template <class T>
Vector<T> add_rows(const T* from, Index count) {
    constexpr Index L = vector_lanes<T>, TC = tile_columns<T>;
    Vector<T> sums[4] = {};
    Index i = 0;
    for (; i + 4 <= count; i += 4) repeat<4>([&](auto c) { sums[c.value] += load<L>(from + (i + c.value) * TC); });
    for (; i < count; ++i) sums[0] += load<L>(from + i * TC);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

struct Move {
    Index from, to;
};
struct MovesMemory {
    Move moves[4][most_positions];
};

// The copies that fill one row of every panel of a chunk: the same for each step of depth, so they are worked out
// once. They come in four sizes, each one machine instruction wide; where a run is longer than its last copy, that
// one overlaps the copy before.
template <class T>
class Moves {
public:
    // Lane p of the chunk lies in panel p / tile_columns, which begins panel_size elements after the one before.
    Moves(MovesMemory& memory, Index panel_size) : moves_(memory.moves), panel_size_(panel_size) {}

    // Positions [begin, begin + count) come from `from` on.
    void add_run(Index begin, Index from, Index count) {
        while (count > 0) {
            const Index lane = begin % tile_columns<T>, here = smaller(count, tile_columns<T> - lane);
            add_within_panel(from, begin / tile_columns<T> * panel_size_ + lane, here);
            begin += here, from += here, count -= here;
        }
    }

    // Lanes [begin, end) of a last panel that is not full: zeros, for numbers left there by chance could be signalling.
    void clear(Index begin, Index end) {
        clear_ = begin / tile_columns<T> * panel_size_ + begin % tile_columns<T>;
        clear_count_ = end - begin;
    }

    void copy(const T* from, T* to) const {
        fill_few(to + clear_, clear_count_, T(0));
        copy_all<0>(from, to);
        copy_all<1>(from, to);
        copy_all<2>(from, to);
        copy_all<3>(from, to);
    }

private:
    static constexpr Index sizes[4] = {vector_lanes<T>, larger(vector_lanes<T> / 2, 1),
                                       larger(vector_lanes<T> / 4, 1), 1};

    void add_within_panel(Index from, Index to, Index count) {
        Index done = 0;
        for (int size = 0; size < 4; ++size) {
            for (; count - done >= sizes[size]; done += sizes[size]) add(size, from + done, to + done);
            // More than half of this size left: one copy that ends with the run, if the run is that long.
            const Index back = count - sizes[size];
            if (back >= 0 && count - done > sizes[size] / 2) return add(size, from + back, to + back);
        }
    }

    void add(int size, Index from, Index to) { moves_[size][counts_[size]++] = {from, to}; }

    template <int size>
    void copy_all(const T* from, T* to) const {
        const Move* move = moves_[size];
        for (Index i = 0; i < counts_[size]; ++i)
            store<int(sizes[size])>(to + move[i].to, load<int(sizes[size])>(from + move[i].from));
    }

    Index counts_[4] = {}, clear_ = 0, clear_count_ = 0;
    Move (*moves_)[most_positions];
    Index panel_size_;
};

// to[k * to_step + i] = from[i * from_step + k] for `rows` rows i and `columns` columns k.
// `to` has room for whole vectors of i: what lies behind the last one is overwritten.
template <class T>
void transpose(const T* from, Index from_step, Index rows, Index columns, T* to, Index to_step) {
    constexpr Index L = vector_lanes<T>;
    for (Index i = 0; i < rows; i += L) {
        const Index count = smaller(L, rows - i);
        for (Index next = 0; columns >= L && next < columns; next += L) {
            const Index k = smaller(next, columns - L);  // the last square may overlap the one before
            // What is transposed after the next three squares, perhaps of the rows behind these, arrives meanwhile.
            const Index ahead = next + 4 * L, at = ahead < columns ? ahead : ahead - columns + L * from_step;
            for (Index j = 0; j < L; ++j) __builtin_prefetch(from + (i + j) * from_step + at);
            transpose_square(from + i * from_step + k, from_step, count, to + k * to_step + i, to_step,
                             Counting<int(L)>());
        }
        for (Index k = 0; columns < L && k < columns; ++k)
            for (Index j = 0; j < L; ++j) to[k * to_step + i + j] = j < count ? from[(i + j) * from_step + k] : T(0);
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
