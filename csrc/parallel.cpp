#include "parallel.hpp"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef PYCONV_PAUSE_BEFORE_FORK
#include <pthread.h>
#endif

namespace pyconv {
namespace {

#ifdef _OPENMP

// CPUs' worth of time that this process's control group may use; 0 where there is no quota to be read.
// A container that is given half of a 64-core machine still sees 64 cores: only the quota tells.
double cgroup_cpus() {
    double cpus = 0, quota = 0, period = 0;
    std::string path, line, first;
    for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);)
        if (line.rfind("0::", 0) == 0) path = line.substr(3);
    // Version 2: "max 100000" or "150000 100000", binding in the process's group and in every one above it.
    for (;; path.erase(path.rfind('/'))) {
        std::ifstream limit("/sys/fs/cgroup" + path + "/cpu.max");
        if (limit >> first >> period && first != "max" && period > 0) {
            const double here = std::strtod(first.c_str(), nullptr) / period;
            if (here > 0 && (cpus == 0 || here < cpus)) cpus = here;
        }
        if (path.empty() || path.rfind('/') == std::string::npos) break;
    }
    // Version 1 keeps the two numbers apart; -1 means no quota.
    if (cpus == 0 && std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota &&
        std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period && quota > 0 && period > 0)
        cpus = quota / period;
    return cpus;
}

int default_threads() {
    const int threads = omp_get_max_threads();  // honours OMP_NUM_THREADS and CPU affinity
    const char* wanted = std::getenv("OMP_NUM_THREADS");
    if (wanted && *wanted) return threads;
    const double quota = cgroup_cpus();
    if (quota <= 0 || quota >= threads) return threads;
    return int(quota) + (quota > int(quota));  // rounded up
}

#else

int default_threads() { return 1; }

#endif

// The one piece of state in the module: what set_num_threads said. 0 = nothing yet.
std::atomic<int> requested_threads{0};

#ifdef PYCONV_PAUSE_BEFORE_FORK
// A forked child inherits libgomp's record of worker threads but not the threads, and would wait for them
// forever. Handing the pool back just before the fork leaves nothing to wait for on either side.
void pause_before_fork() { omp_pause_resource_all(omp_pause_soft); }
[[maybe_unused]] const int registered = pthread_atfork(pause_before_fork, nullptr, nullptr);
#endif

// Waking a thread costs a few microseconds; below about 20 microseconds of work one thread is faster.
constexpr double operations_per_thread = 40e3;

}  // namespace

bool has_openmp() {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

int num_threads() {
    static const int automatic = default_threads();
    const int requested = requested_threads.load(std::memory_order_relaxed);
    return requested > 0 ? requested : automatic;
}

void set_num_threads(int n) { requested_threads.store(n, std::memory_order_relaxed); }

int threads_for(Index items, double work) {
    double threads = num_threads();
    if (double(items) < threads) threads = double(items);
    if (work / operations_per_thread < threads) threads = work / operations_per_thread;
    return threads < 1 ? 1 : int(threads);
}

void run_parts(int parts, void (*part)(const void* closure, int index), const void* closure) {
#ifdef _OPENMP
    if (parts > 1) {
        // The runtime may grant fewer threads than parts (OMP_THREAD_LIMIT): every part runs all the same.
#pragma omp parallel for schedule(static, 1) num_threads(parts)
        for (int index = 0; index < parts; ++index) part(closure, index);
        return;
    }
#endif
    for (int index = 0; index < parts; ++index) part(closure, index);
}

void* allocate_scratch(Index bytes) {
    // Aligned to a cache line, so that vector loads never straddle two.
    return ::operator new(bytes > 0 ? std::size_t(bytes) : 1, std::align_val_t{64});
}

void free_scratch(void* block) { ::operator delete(block, std::align_val_t{64}); }

}  // namespace pyconv
