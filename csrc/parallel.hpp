// The parallel loop: how a kernel spreads independent items over threads.
//
// Which items a thread gets depends on the number of threads alone, never on timing, so a kernel gives the
// same bits on every run at a given thread count.
#pragma once

#include "window.hpp"

namespace pyconv {

int num_threads() noexcept;             // threads a kernel may use
void set_num_threads(int n) noexcept;   // n >= 1

// Does `work` elementary operations pay for waking threads? Answers how many to use for `items` items.
int threads_for(Index items, double work) noexcept;

// Calls part(closure, 0), ..., part(closure, parts - 1), each exactly once, on up to `parts` threads.
void run_parts(int parts, void (*part)(const void* closure, int index), const void* closure) noexcept;

// The templates below are instantiated in sources compiled for AVX: an unnamed namespace keeps each copy there.
namespace {

template <class Body>
void call(const void* body, int part) {
    (*static_cast<const Body*>(body))(part);
}

// body(part) for every part of `parts`, each on a thread of its own where there are enough.
template <class Body>
void run_each(int parts, const Body& body) {
    run_parts(parts, call<Body>, &body);
}

// Part `part` of `parts` consecutive shares of [0, items).
inline Range share(Index items, int parts, int part) { return {items * part / parts, items * (part + 1) / parts}; }

// The bodies of the two loops below are classes, not lambdas: a lambda's name contains its function's, and profilers
// would show names of 200 letters.
template <class Body>
struct InRanges {
    Index items;
    int parts;
    const Body& body;

    void operator()(int part) const {
        const Range mine = share(items, parts, part);
        body(mine.begin, mine.end, part);
    }
};

// body(begin, end, part) for consecutive ranges that cover [0, items); `parts` ranges, one after another in order.
template <class Body>
void parallel_ranges(Index items, int parts, const Body& body) {
    run_each(parts, InRanges<Body>{items, parts, body});
}

template <class Body>
struct OneByOne {
    const Body& body;

    void operator()(Index begin, Index end, int) const {
        for (Index item = begin; item < end; ++item) body(item);
    }
};

// body(item) for every item of [0, items); `work` is the cost of one item in elementary operations.
template <class Body>
void parallel_for(Index items, double work, const Body& body) {
    parallel_ranges(items, threads_for(items, double(items) * work), OneByOne<Body>{body});
}

}  // namespace
}  // namespace pyconv
