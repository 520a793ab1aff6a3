// The thread pool and the memory that is kept under stress: several callers at once, jobs of many sizes, jobs within
// jobs, a changing number of threads, blocks of many sizes, forks. .ci/run builds this with csrc/parallel.cpp and
// csrc/memory.cpp and runs it, also under ThreadSanitizer.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../csrc/memory.hpp"
#include "../csrc/parallel.hpp"

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "stress_parallel: %s\n", what);
    std::_Exit(1);
}

// Every part runs once, and what the parts wrote, in memory that is not atomic, is there when the job is done.
void compute(int jobs, int most_parts) {
    for (int job = 0; job < jobs; ++job) {
        const int parts = 1 + job % most_parts;
        const int inner_parts = job % 16 == 0 ? 2 : 1;
        std::vector<int> runs(std::size_t(parts * inner_parts));
        pyconv::run_each(parts, [&](int part) {
            pyconv::run_each(inner_parts, [&](int inner) { ++runs[std::size_t(part * inner_parts + inner)]; });
        });
        for (const int count : runs) require(count == 1, "a part ran more often than once, or not at all");
        // Now and then a pause in which the workers fall asleep.
        if (job % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

// Nobody else writes to a block before it is released.
void use_memory(int blocks) {
    for (int block = 0; block < blocks; ++block) {
        const pyconv::Index count = pyconv::large_block / 2 << block % 7;  // from what is not kept to huge pages
        const pyconv::Scratch<char> scratch(count), other(count);
        for (pyconv::Index i = 0; i < count; i += 1000) scratch.data()[i] = char(block), other.data()[i] = 0;
        for (pyconv::Index i = 0; i < count; i += 1000)
            require(scratch.data()[i] == char(block), "two blocks of memory overlap");
    }
}

// A child of a process that is in the middle of jobs computes on threads of its own, and ends. ThreadSanitizer
// knows no threads that a forked child starts.
#ifdef __SANITIZE_THREAD__
void fork_and_compute() {}
#else
void fork_and_compute() {
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        compute(50, 4);
        use_memory(10);
        std::_Exit(0);
    }
    int status = 0;
    require(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a forked child failed");
}
#endif

}  // namespace

int main() {
    alarm(60);
    pyconv::set_num_threads(2);
    compute(10000, 5);
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller) callers.emplace_back(compute, 5000, 2 + caller);
    for (int caller = 0; caller < 2; ++caller) callers.emplace_back(use_memory, 300);
    for (int n = 0; n < 20; ++n) {
        pyconv::set_num_threads(1 + n % 4);
        require(pyconv::num_threads() == 1 + n % 4, "the number of threads is not what was set");
        fork_and_compute();
    }
    for (std::thread& caller : callers) caller.join();
    std::puts("stress_parallel: all parts of all jobs ran once, all memory was its owner's");
}
