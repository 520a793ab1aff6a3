// Where a convolution's taps lie in memory, once padding and stride are out of the way.
//
// The rows of output that are computed together are a *strip* of the batch seen as one stack of N*OH rows. The input
// rows under a strip are copied once, zeros around them, each row split by ox's stride into its *phases*:
//
//   lines (channel, line, phase, column)    a line is an input row; pitch = phases * phase_width elements
//
// so that tap t = (fy, fx) of output position (row, ox) lies at row_start[row] + ox + tap_offset(t): stride, padding
// and dilation are in two small tables, and every run of ox is a run in memory. The column matrix is these runs.
// An input without padding and without horizontal stride serves as its own lines.
#pragma once

#include "../memory.hpp"
#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index fewest_positions = 512, most_positions = 1024;  // output positions that are computed together

// Sizes of one convolution, named as at the head of convolution.hpp.
struct Sizes {
    Index FG, CG, K, P;
    Sizes(Shape filter, Extent output, Index groups)
        : FG(filter.n / groups), CG(filter.c), K(filter.c * filter.h * filter.w), P(output.h * output.w) {}
};

// Part `part` of `parts` of units of work, `pieces` to a strip: shares with as nearly the same number of `items`, which
// are cut into the strips, as whole units allow, for a last strip has fewer than the others.
template <class AnyStrips>
PYCONV_ONCE Range share_units(const AnyStrips& strips, Index items, Index pieces, int parts, int part) {
    const auto begin = [&](int which) {
        const Index work = items * pieces * which / parts, item = work / pieces;
        if (item == items) return strips.count * pieces;
        const Index strip = strips.strip_of(item);
        const Range here = strips.at(strip);
        return strip * pieces + (2 * (work - here.begin * pieces) + here.size()) / (2 * here.size());
    };
    return {begin(part), begin(part + 1)};
}

// How the stack of N*OH output rows is cut into strips: within images where these are large.
template <class T>
struct Strips {
    Index rows = 1, count, stack, image_rows, per_image;
    bool of_one_image;  // they end with their image

    PYCONV_SETUP Strips(Index images, Extent output, bool within_images, Index positions = fewest_positions) {
        stack = images * output.h, image_rows = output.h;
        of_one_image = within_images || images == 1 || output.h * output.w >= fewest_positions;
        const Index all = of_one_image ? output.h : stack;
        const Index most = smaller(larger(positions / output.w, 1), larger(all, 1));
        // of the heights that nearly fill the limit, the one that needs the fewest lanes
        Index fewest = 0;
        for (Index height = most; height > 0 && 4 * height >= 3 * most; --height) {
            const Index lanes = all / height * rounded_up(height * output.w, vector_lanes<T>) +
                                rounded_up(all % height * output.w, vector_lanes<T>);
            if (height == most || lanes < fewest) rows = height, fewest = lanes;
        }
        per_image = divided_up(output.h, rows);
        count = of_one_image ? images * per_image : divided_up(stack, rows);
    }

    Range at(Index strip) const {
        if (!of_one_image) return {strip * rows, smaller((strip + 1) * rows, stack)};
        const Index first = strip / per_image * image_rows, begin = strip % per_image * rows;
        return {first + begin, first + smaller(begin + rows, image_rows)};
    }

    Index strip_of(Index row) const {
        return of_one_image ? row / image_rows * per_image + row % image_rows / rows : row / rows;
    }
};

struct Geometry {
    Shape input;
    Extent output;
    Window window;
    Index taps, phases, phase_width, pitch;  // phases within a window's reach, their elements, those of a line
    bool in_place;  // the input is its own lines

    // `may_be_in_place`: not where lines are written to, read beyond a row's end, or need zeros around them.
    PYCONV_SETUP Geometry(Shape input_, Extent output_, const Window& window_, bool may_be_in_place)
        : input(input_), output(output_), window(window_), taps(window.h.filter * window.w.filter) {
        const bool padded = window.h.pad_before || window.h.pad_after || window.w.pad_before || window.w.pad_after;
        in_place = may_be_in_place && window.w.stride == 1 && !padded;
        // what a last window reaches may end before the padded row does
        const Index width = in_place ? input.w : (output.w - 1) * window.w.stride + reach(window.w);
        phase_width = divided_up(width, window.w.stride);
        phases = smaller(window.w.stride, reach(window.w));
        pitch = phase_width * phases;
    }

    Index tap_offset(Index tap) const {
        const Index fy = tap / window.w.filter, x = tap % window.w.filter * window.w.dilation;
        return fy * window.h.dilation * pitch + x % window.w.stride * phase_width + x / window.w.stride;
    }

    // Does a filter of one pixel meet an image's pixels as they lie in memory, one row behind the other?
    bool is_one_run() const { return in_place && taps == 1 && window.h.stride == 1 && input.w == output.w; }

    void find_offsets(Index* offsets) const {
        for (Index t = 0; t < taps; ++t) offsets[t] = tap_offset(t);
    }

    // Lines under `rows` consecutive output rows of one image.
    Index lines_under(Index rows) const { return (rows - 1) * window.h.stride + reach(window.h); }

    // No fewer than the lines under any strip of `rows` rows of the stack.
    Index most_lines(Index rows) const {
        const Index images = smaller(input.n, divided_up(rows, output.h) + 1);
        return in_place ? 0 : rows * window.h.stride + images * reach(window.h);
    }

    // Numbers of them, of one channel.
    Index lines_size(Index rows) const { return numbers_of_lines(most_lines(rows), pitch); }

    // row_start of a strip. In place, lines are those of the whole input and channels lie h*w apart.
    void find_rows(Range strip, Index* row_start) const {
        Index n = strip.begin / output.h, oy = strip.begin % output.h, line = 0;
        for (Index row = 0; row < strip.size(); ++row) {
            row_start[row] = in_place ? (n * input.c * input.h + oy * window.h.stride) * input.w : line * pitch;
            line += window.h.stride;
            if (++oy == output.h) {
                line += reach(window.h) - window.h.stride;
                oy = 0, ++n;
            }
        }
    }
};

// Calls visit(n, oy, row, count) for each image n that rows of the stack are of: those from `row` on, `count` of them,
// are its output rows oy, oy + 1, ...
template <class Visit>
void for_image_rows(Range rows, Index OH, const Visit& visit) {
    for (Index row = rows.begin; row < rows.end;) {
        const Index oy = row % OH, count = smaller(OH - oy, rows.end - row);
        visit(row / OH, oy, row, count);
        row += count;
    }
}

// Calls visit(n, y, line, count) for each image that a strip has rows of: `count` lines from `line` on are its input
// rows y, y + 1, ..., of which those outside [0, H) are padding.
template <class Visit>
void for_images(const Geometry& g, Range strip, const Visit& visit) {
    Index line = 0;
    for_image_rows(strip, g.output.h, [&](Index n, Index oy, Index, Index rows) {
        const Index lines = g.lines_under(rows);
        visit(n, oy * g.window.h.stride - g.window.h.pad_before, line, lines);
        line += lines;
    });
}

// Columns of the input that fall into phase `phase` of a line: input column x lies at (x + pad - phase) / stride.
struct Phase {
    Index at, x, count;
};

inline Phase phase_of(const Geometry& g, Index phase) {
    const Index stride = g.window.w.stride, pad = g.window.w.pad_before;
    const Index at = pad > phase ? smaller(divided_up(pad - phase, stride), g.phase_width) : 0;
    const Index x = at * stride + phase - pad;
    const Index count = x >= g.input.w ? 0 : smaller(divided_up(g.input.w - x, stride), g.phase_width - at);
    return {at, x, larger(count, 0)};
}

// Every stride-th number of some rows, `count` of each: to[r][i] = from[r][i * stride].
template <class T>
PYCONV_ONCE void copy_every(Index stride, const T* from, Index from_step, Index rows, Index count, T* to,
                            Index to_step) {
    const auto each_row = [&](const auto& copy_row) {
        const T* row = from;
        T* target = to;
        for (Index r = 0; r < rows; ++r, row += from_step, target += to_step) copy_row(row, target);
    };
    if (stride == 1) return each_row([&](const T* row, T* target) { copy<1>(target, row, count); });
    if (stride == 2) return each_row([&](const T* row, T* target) { copy<2>(target, row, count); });
    if (stride == 4) return each_row([&](const T* row, T* target) { copy<4>(target, row, count); });
    each_row([&](const T* row, T* target) {
        for (Index i = 0; i < count; ++i) target[i] = row[i * stride];
    });
}

// Splits some rows of the input into their phases, a number from every one of `positions` strides to each.
template <class T>
PYCONV_ONCE void split_rows(const Geometry& g, const T* from, Index rows, Index positions, T* to) {
    constexpr int most = int(smaller(8, vector_lanes<T>));
    for (Index i = 0; i < rows; ++i, from += g.input.w, to += g.pitch)
        transpose_by_squares<most>(from, g.window.w.stride, positions, g.phases, to, g.phase_width);
}

// Copies channels [channels.begin, channels.end) of the input's rows under a strip into lines.
// `x` is the first of the group's channels in the first image; `channel_step` elements from channel to channel.
// Lines are zeros before the first copy, and stay so beside the image. `zeros`: write them above and below it, too;
// they are still there where the strip before had the same shape.
template <class T>
void copy_lines(const Geometry& g, const T* x, Range channels, Range strip, T* lines, Index channel_step, bool zeros) {
    const Index H = g.input.h, W = g.input.w, width = g.phase_width, stride = g.window.w.stride;
    // An unpadded row is a matrix (position, phase), unless some phases have a number more.
    const Index all = phase_of(g, 0).count;
    const bool is_matrix = hurries<T> && stride > 4 && g.window.w.pad_before == 0 && phase_of(g, g.phases - 1).count == all;
    for (Index c = channels.begin; c < channels.end; ++c, lines += channel_step)
        for_images(g, strip, [&](Index n, Index y, Index line, Index count) {
            const Index first = smaller(larger(-y, 0), count), last = larger(smaller(H - y, count), first);
            const T* rows = x + ((n * g.input.c + c) * H + y + first) * W;
            if (is_matrix && first == 0 && last == count) {
                split_rows(g, rows, count, all, lines + line * g.pitch);
                return;
            }
            for (Index phase = 0; phase < g.phases; ++phase) {
                // The same rows of the next channel arrive meanwhile: a part of them for every phase, for a CPU that is
                // asked for much at once forgets some.
                const Range ahead = share((last - first) * W, int(g.phases), int(phase));
                for (Index i = ahead.begin; i < ahead.end; i += 64 / Index(sizeof(T)))
                    __builtin_prefetch(rows + H * W + i);
                const Phase p = phase_of(g, phase);
                T* to = lines + line * g.pitch + phase * width;
                for (Index i = 0; zeros && i < first; ++i) fill(to + i * g.pitch, width, T(0));
                for (Index i = last; zeros && i < count; ++i) fill(to + i * g.pitch, width, T(0));
                copy_every(stride, rows + p.x, W, last - first, p.count, to + first * g.pitch + p.at,
                           g.pitch);
            }
        });
}

// The part of an input that the next block of work begins with. It is asked for a little at a time while this one is
// computed: memory is slow to answer, but does not keep the arithmetic waiting.
template <class T>
class Upcoming {
public:
    Upcoming() = default;

    // Channels [channels.begin, channels.end) of the images under a strip, to come in `portions` portions.
    PYCONV_ONCE Upcoming(const Geometry& g, const T* x, Range channels, Range strip, Index portions)
        : g_(&g), x_(x), channels_(channels), strip_(strip) {
        Index lines = 0;
        while (begin_image()) lines += planes_ * divided_up(run_, line);
        portion_ = divided_up(lines, portions);
        strip_ = strip;
        begin_image();
    }

    PYCONV_ONCE void ask_for_more() {
        for (Index i = 0; i < portion_ && planes_ > 0; ++i) {
            __builtin_prefetch(next_ + at_, 0, 2);
            at_ += line;
            if (at_ < run_) continue;
            at_ = 0;
            next_ += g_->input.h * g_->input.w;
            if (--planes_ == 0) begin_image();
        }
    }

private:
    // Goes to the next image under the strip. False where there is none.
    bool begin_image() {
        if (strip_.size() == 0) return false;
        const Shape& input = g_->input;
        const Index n = strip_.begin / g_->output.h, oy = strip_.begin % g_->output.h;
        const Index y = oy * g_->window.h.stride - g_->window.h.pad_before;
        const Index rows = smaller(g_->output.h - oy, strip_.size());
        const Index first = smaller(larger(y, 0), input.h);
        const Index last = larger(smaller(y + g_->lines_under(rows), input.h), first);
        next_ = x_ + ((n * input.c + channels_.begin) * input.h + first) * input.w;
        run_ = (last - first) * input.w + line - 1;  // it may begin and end within a line
        planes_ = channels_.size();
        strip_.begin += rows;
        return true;
    }

    static constexpr Index line = 64 / Index(sizeof(T));  // of the cache
    const Geometry* g_ = nullptr;
    const T *x_ = nullptr, *next_ = nullptr;
    Range channels_{}, strip_{};
    Index planes_ = 0, run_ = 0, at_ = 0, portion_ = 0;
};

// Calls run(p, from, count) for the runs in memory of positions [positions.begin, positions.end) of a strip: position p
// and the count - 1 behind it lie `from` elements after a tap's offset and on.
template <class Visit>
void for_runs(Range positions, Index width, const Index* row_start, const Visit& run) {
    for (Index p = positions.begin; p < positions.end;) {
        Index row = p / width;
        const Index x = p % width, from = row_start[row] + x;
        Index count = width - x;
        // rows of output that lie one behind the other in memory are one run
        while (p + count < positions.end && row_start[row + 1] == from + count) count += width, ++row;
        count = smaller(count, positions.end - p);
        run(p, from, count);
        p += count;
    }
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
