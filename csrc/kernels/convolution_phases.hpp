// Convolution backward with respect to data, by the phases of the strides: dx, W and dout as in convolution_data.hpp.
//
//   lines    (filter, line, column)               dout with zeros around it (geometry.hpp)
//   weights  (phase, filter, tap, tile_columns)   of some channels: for each phase a panel of B (packing.hpp)
//
// Every stride-th pixel of a row or column is of one phase. All pixels of a phase meet the same taps, which no others
// meet: their gradient is a convolution of dout with these taps. Columns have two phases, whose sums alternate in dx.
#pragma once

#include "pixels.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

constexpr Index most_line_numbers = 1 << 18;  // in lines at a time: they stay in the second-level cache

// The phase whose pixels a tap reaches, and the position of dout that the first of these pixels gets through it.
struct PhaseOfTap {
    Index phase, position;

    PhaseOfTap(const Axis& axis, Index tap) {
        const Index pixel = tap * axis.dilation - axis.pad_before;  // that position 0 sends to
        phase = (pixel % axis.stride + axis.stride) % axis.stride;
        position = (phase - pixel) / axis.stride;
    }
};

// The window through which lines see dout: from the last tap's position to the first one's.
inline Axis seen_by_phases(const Axis& axis) {
    const Index first = PhaseOfTap(axis, axis.filter - 1).position, last = PhaseOfTap(axis, 0).position;
    return {last - first + 1, 1, 1, -first, 0};
}

// A unit of work is tile_columns channels of some rows of dx.
template <class T>
class PhasedGradient {
public:
    // Where it is faster than scattering (convolution_scatter.hpp): where nearly all tiles are full, and the filters
    // so many that what transposing and alternating take does not show.
    static bool pays(const Geometry& g, const Sizes& s, Index groups) {
        const Window& w = g.window;
        const Index width = divided_up(g.input.w, 2);
        const Index pitch = width + reach(seen_by_phases(w.w)) - 1, lines = reach(seen_by_phases(w.h));  // for one row
        return w.w.stride == 2 && w.h.stride <= 4 && w.h.dilation == 1 && w.w.dilation == 1 && s.CG % TC == 0 &&
               s.FG >= 64 && width >= 2 * tile_pixels && tiles_are_full(width) &&
               s.FG * lines * pitch <= most_line_numbers && groups * s.FG * s.K <= most_packed_weights;
    }

    PYCONV_SETUP PhasedGradient(const T* dout, const T* W, T* dx, const Geometry& g, const Sizes& s, Index groups)
        : dout_(dout), W_(W), dx_(dx), g_(g), s_(s), groups_(groups), K_(s.FG * g.taps), panels_(s.CG / TC),
          lines_({g.input.n, groups * s.FG, g.output.h, g.output.w},
                 {divided_up(g.input.h, g.window.h.stride), divided_up(g.input.w, 2)},
                 {seen_by_phases(g.window.h), seen_by_phases(g.window.w)}, false),
          width_(rounded_up(lines_.output.w, L)),
          rows_(smaller(most_line_numbers / (s.FG * lines_.pitch) - reach(lines_.window.h) + 1, lines_.output.h)),
          strips_(divided_up(lines_.output.h, rows_)), units_(g.input.n * groups * strips_ * panels_),
          line_step_(lines_.lines_under(rows_) * lines_.pitch),
          lines_size_(rounded_up(s.FG * line_step_ + tile_pixels, L)),
          sums_size_((width_ + tile_pixels) * TC), part_size_(lines_size_ + 2 * sums_size_ + 2 * L * width_),
          parts_(threads_for(units_, double(g.input.n * groups) * double(s.FG * s.K) * double(s.P))),
          scratch_(parts_ * part_size_), weights_(groups * s.CG * K_), offsets_(K_), taps_(g.taps),
          begins_(2 * g.window.h.stride + 1) {
        const Index FW = g.window.w.filter;
        Index *next_tap = taps_.data(), *next_offset = offsets_.data();
        for (Index phase = 0; phase < 2 * g.window.h.stride; ++phase) {
            Index taps = 0;
            begins_.data()[phase] = next_tap - taps_.data();
            for (Index tap = 0; tap < g.taps; ++tap) {
                const PhaseOfTap h(g.window.h, tap / FW), w(g.window.w, tap % FW);
                if (h.phase != phase / 2 || w.phase != phase % 2) continue;
                const Index line = h.position + lines_.window.h.pad_before;
                *next_offset++ = line * lines_.pitch + w.position + lines_.window.w.pad_before;
                *next_tap++ = tap;
                ++taps;
            }
            // the same of every other filter
            for (Index left = (s.FG - 1) * taps; left > 0; --left, ++next_offset)
                *next_offset = next_offset[-taps] + line_step_;
        }
        begins_.data()[2 * g.window.h.stride] = g.taps;
    }

    void run() {
        parallel_for(groups_ * panels_, double(TC * K_), [this](Index panel) { pack(panel); });
        run_each(parts_, [this](int part) {
            T* const lines = scratch_.data() + part * part_size_;
            fill(lines, lines_size_, T(0));
            const Range mine = share(units_, parts_, part);
            for (Index unit = mine.begin; unit < mine.end; ++unit)
                sum_unit(unit, unit == mine.begin || unit % panels_ == 0, lines);
        });
    }

private:
    static constexpr Index TC = tile_columns<T>, L = vector_lanes<T>;

    // Packs the weights of one of the groups' panels.
    void pack(Index panel) const {
        const T* const from = W_ + panel / panels_ * s_.FG * s_.K + panel % panels_ * TC * g_.taps;
        T* to = weights_.data() + panel * TC * K_;
        for (Index phase = 0; phase < 2 * g_.window.h.stride; ++phase) {
            const Index begin = begins_.data()[phase], taps = begins_.data()[phase + 1] - begin;
            for (Index t = 0; t < taps; ++t)
                copy_every(g_.taps, from + taps_.data()[begin + t], s_.K, s_.FG, TC, to + t * TC, taps * TC);
            to += s_.FG * taps * TC;
        }
    }

    void sum_unit(Index unit, bool copy, T* lines) const {
        T* const sums = lines + lines_size_;
        T* const sums_of[2] = {sums, sums + sums_size_};
        T* const rows = sums_of[1] + sums_size_;
        const Index stride = g_.window.h.stride, H = g_.input.h, W = g_.input.w, plane = H * W;
        const Index item = unit / panels_, strip = item % strips_, image = item / strips_ / groups_;
        const Index group = item / strips_ % groups_, panel = group * panels_ + unit % panels_;
        const Range here = share(lines_.output.h, int(strips_), int(strip));
        if (copy) {
            const Index first = image * lines_.output.h;
            copy_lines(lines_, dout_ + group * s_.FG * s_.P, {0, s_.FG}, {first + here.begin, first + here.end}, lines,
                       line_step_, true);
        }
        T* to = dx_ + (image * groups_ * s_.CG + panel * TC) * plane + here.begin * stride * W;
        for (Index y = here.begin * stride; y < smaller(here.end * stride, H); ++y, to += W) {
            const T* const line = lines + (y / stride - here.begin) * lines_.pitch;
            for (Index x = 0; x < 2; ++x) {
                const Index phase = y % stride * 2 + x, begin = begins_.data()[phase];
                const Index steps = s_.FG * (begins_.data()[phase + 1] - begin);
                const T* const weights = weights_.data() + (panel * K_ + s_.FG * begin) * TC;
                if (steps == 0) fill(sums_of[x], width_ * TC, T(0));
                // of what is read, nothing need be asked for: the cache has all lines
                for (Index p = 0; p < lines_.output.w; p += tile_pixels)
                    multiply_pixels<T>(line + p, offsets_.data() + s_.FG * begin, steps, weights, nullptr,
                                       sums_of[x] + p * TC, line, 0, to + 2 * p, plane);
            }
            write_row(sums_of, rows, to);
        }
    }

    // Writes one row of dx for all channels of a panel, by way of `rows` (phase, channel, width) for some of them.
    void write_row(const T* const* sums_of, T* rows, T* to) const {
        for (Index c = 0; c < TC; c += L) {
            for (Index x = 0; x < 2; ++x)
                for (Index p = 0; p < width_; p += L)
                    transpose_sums(sums_of[x] + p * TC + c, rows + x * L * width_ + p, width_);
            for (Index i = 0; i < L; ++i, to += g_.input.h * g_.input.w)
                alternate(to, rows + i * width_, rows + (L + i) * width_, g_.input.w);
        }
    }

    const T *dout_, *W_;
    T* dx_;
    const Geometry& g_;
    const Sizes& s_;
    Index groups_, K_, panels_;    // steps of all phases; panels of a group's channels
    const Geometry lines_;         // a row or column of output for every pixel of a phase
    Index width_;                  // of a phase, in whole vectors
    Index rows_, strips_, units_;  // rows of lines' output that are computed together
    Index line_step_;              // from filter to filter
    Index lines_size_, sums_size_, part_size_;
    int parts_;
    Scratch<T> scratch_, weights_;
    // where in lines each step, phase by phase, has its pixels; the taps, likewise; where in these each phase begins
    Scratch<Index> offsets_, taps_, begins_;
};

}  // namespace
}  // namespace pyconv::PYCONV_ISA
