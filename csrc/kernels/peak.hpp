// The most that this CPU computes and moves, for a profiler to hold the kernels against. These two have no
// result that anybody wants: what counts is how long they take.
#pragma once

#include "../parallel.hpp"
#include "simd.hpp"

namespace pyconv::PYCONV_ISA {
namespace {

// Sums that do not wait for one another. A CPU starts two multiply-adds a cycle and ends each after four or so:
// twelve sums keep it busy, and they all stay in registers.
constexpr int peak_chains = 12;

// `steps` multiply-adds in every lane of every chain, on each of `threads` threads; answers how many operations
// that was (a multiplication and an addition are two). `sums` (threads,) takes a number that depends on all of
// them, or the compiler would leave the loop out.
Index peak_multiply_adds(Index steps, int threads, float* sums) {
    run_each(threads, [&](int thread) {
        // Each sum tends to 1 from another side and never becomes subnormal.
        const Vector<float> factor = broadcast<int(vector_lanes<float>)>(0.5f), term = factor;
        Vector<float> chain[peak_chains];
        repeat<peak_chains>([&](auto i) { chain[i.value] = factor + float(i.value + thread); });
        for (Index step = 0; step < steps; ++step)
            repeat<peak_chains>([&](auto i) { chain[i.value] = chain[i.value] * factor + term; });
        Vector<float> sum{};
        repeat<peak_chains>([&](auto i) { sum += chain[i.value]; });
        sums[thread] = sum[0];
    });
    return 2 * threads * steps * peak_chains * vector_lanes<float>;
}

// target (count,) = source (count,), on `threads` threads.
void peak_copy(const float* source, float* target, Index count, int threads) {
    parallel_ranges(count, threads,
                    [&](Index begin, Index end, int) { copy(target + begin, source + begin, end - begin); });
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
