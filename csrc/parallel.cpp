// How many threads there are, and the pool that keeps them.
//
// The pool in three words: claim, spin, sleep. Threads claim the parts of a job one by one, the caller like the
// others: where another process has the CPUs, the caller finds the parts unclaimed, does them itself and waits
// for nobody. A thread without a part spins for a moment, as the next kernel of a network follows at once, and
// then sleeps.
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#endif

namespace pyconv {
namespace {

// How many threads

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

// CPUs that this process may run on.
int affine_cpus() {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return std::max(1, int(std::thread::hardware_concurrency()));
}

int available_cpus() {
    const int cpus = affine_cpus();
    const double quota = cgroup_cpus();
    if (quota <= 0 || quota >= cpus) return cpus;
    return int(quota) + (quota > int(quota));  // rounded up
}

// The number at the beginning of an environment variable like "4" or "4,2" (the threads of nested regions, in
// OpenMP's words); `otherwise` where there is none from 1 to 1024.
int setting(const char* variable, int otherwise) {
    const char* const text = std::getenv(variable);
    if (!text) return otherwise;
    char* end = nullptr;
    const long number = std::strtol(text, &end, 10);
    while (*end == ' ') ++end;
    return end != text && (*end == '\0' || *end == ',') && number >= 1 && number <= 1024 ? int(number) : otherwise;
}

const int cpus = available_cpus();
const int default_threads = setting("OMP_NUM_THREADS", cpus);
const int most_threads = setting("OMP_THREAD_LIMIT", 1024);
std::atomic<int> requested_threads{0};  // what set_num_threads said; 0 = nothing yet

// Handing a part to a thread that is awake costs one or two microseconds, to one that sleeps five to ten: less
// work than this per thread does not pay for it.
constexpr double operations_per_thread = 40e3;

// The pool

constexpr std::chrono::microseconds spin_time{200};

// Lets a moment pass without giving the CPU away.
void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// The CPU that this thread runs on; negative where the system does not tell.
int current_cpu() {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

// One job at a time, whose parts are numbered. The caller is one of its threads; the others are the workers.
class Pool {
public:
    using Part = void (*)(const void* closure, int index);

    // Runs the job, unless the pool has one already: of another Python thread, or around this call.
    bool run(int parts, Part part, const void* closure) {
        if (busy_.exchange(true, std::memory_order_acquire)) return false;
        hire(std::min(parts, most_threads) - 1);
        publish(parts, part, closure);
        while (run_one_part()) {}
        wait_for_the_last();
        busy_.store(false, std::memory_order_release);
        return true;
    }

private:
    // The number of a job, and in the lower half how many of its parts nobody has claimed.
    using Ticket = std::uint64_t;
    static int unclaimed(Ticket ticket) { return int(ticket & 0xffffffff); }

    void hire(int workers) {
        try {
            for (; workers_ < workers; ++workers_) std::thread([this] { work(); }).detach();
        } catch (const std::exception&) {
            // The system grants no more threads: those that there are do all parts.
        }
    }

    void publish(int parts, Part part, const void* closure) {
        caller_cpu_.store(current_cpu(), std::memory_order_relaxed);
        spinning_.store(std::min(parts, workers_ + 1) <= cpus, std::memory_order_relaxed);
        part_.store(part, std::memory_order_relaxed);
        closure_.store(closure, std::memory_order_relaxed);
        unfinished_.store(parts, std::memory_order_relaxed);
        const Ticket job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
        ticket_.store(job << 32 | Ticket(parts));
        const int sleepers = sleepers_.load();
        if (sleepers == 0) return;  // no system call while all are awake
        { const std::lock_guard<std::mutex> lock(mutex_); }  // whoever was about to sleep does so, or saw the job
        const int needed = std::min(parts - 1, workers_);
        for (int awake = workers_ - sleepers; awake < needed; ++awake) published_.notify_one();
    }

    // Claims a part of the present job and runs it. False where none is left.
    bool run_one_part() {
        Ticket ticket = ticket_.load(std::memory_order_acquire);
        while (unclaimed(ticket) > 0) {
            const Part part = part_.load(std::memory_order_relaxed);
            const void* const closure = closure_.load(std::memory_order_relaxed);
            // The ticket is unchanged only if these were the job's: the next one begins when all is claimed.
            if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
            part(closure, unclaimed(ticket) - 1);
            if (unfinished_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
                const std::lock_guard<std::mutex> lock(mutex_);
                finished_.notify_one();
            }
            return true;
        }
        return false;
    }

    void wait_for_the_last() {
        if (spin_until([this] { return unfinished_.load(std::memory_order_acquire) == 0; }, worth_spinning())) return;
        // Asleep, the caller leaves its CPU to a worker that was stopped in the middle of its part.
        std::unique_lock<std::mutex> lock(mutex_);
        caller_sleeps_.store(true);
        finished_.wait(lock, [this] { return unfinished_.load() == 0; });
        caller_sleeps_.store(false);
    }

    void work() {
        for (;;) {
            while (run_one_part()) {}
            // Not on the caller's own CPU, where the system wakes a worker if the others are busy.
            const int cpu = current_cpu();
            const bool spins = worth_spinning() && (cpu < 0 || cpu != caller_cpu_.load(std::memory_order_relaxed));
            if (spin_until([this] { return unclaimed(ticket_.load(std::memory_order_relaxed)) > 0; }, spins)) continue;
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleepers_;
            // Looked at after being counted: either this sees the job or its caller sees the sleeper.
            if (unclaimed(ticket_.load()) == 0) published_.wait(lock);
            --sleepers_;
        }
    }

    // With more threads than CPUs, whoever spins may keep the one that works from its CPU.
    bool worth_spinning() const { return spinning_.load(std::memory_order_relaxed); }

    // Whether the condition holds, at once or within a moment of waiting.
    template <class Condition>
    static bool spin_until(const Condition& holds, bool spins) {
        if (!spins) return holds();
        const auto end = std::chrono::steady_clock::now() + spin_time;
        do {
            if (holds()) return true;
            pause_briefly();
        } while (std::chrono::steady_clock::now() < end);
        return false;
    }

    std::atomic<bool> busy_{false};
    int workers_ = 0;  // belongs to whoever made the pool busy
    std::atomic<bool> spinning_{false};
    std::atomic<int> caller_cpu_{0};
    std::atomic<Part> part_{nullptr};
    std::atomic<const void*> closure_{nullptr};
    alignas(64) std::atomic<Ticket> ticket_{0};  // on a cache line of its own: all threads look at it
    alignas(64) std::atomic<int> unfinished_{0};
    std::mutex mutex_;  // for going to sleep and for waking
    std::condition_variable published_, finished_;
    std::atomic<int> sleepers_{0};
    std::atomic<bool> caller_sleeps_{false};
};

// Never destroyed: workers use it until the process is gone.
Pool* const pool = new Pool;

#ifndef _WIN32
// A forked child has the pool's memory as it was, perhaps in the middle of a job, but none of its workers. It
// begins anew, in the same place.
void begin_anew() { new (pool) Pool; }
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, begin_anew);
#endif

}  // namespace

int num_threads() noexcept {
    const int requested = requested_threads.load(std::memory_order_relaxed);
    return requested > 0 ? requested : default_threads;
}

void set_num_threads(int n) noexcept { requested_threads.store(n, std::memory_order_relaxed); }

int threads_for(Index items, double work) noexcept {
    double threads = num_threads();
    if (double(items) < threads) threads = double(items);
    if (work / operations_per_thread < threads) threads = work / operations_per_thread;
    return threads < 1 ? 1 : int(threads);
}

void run_parts(int parts, void (*part)(const void* closure, int index), const void* closure) noexcept {
    if (parts > 1 && pool->run(parts, part, closure)) return;
    for (int index = 0; index < parts; ++index) part(closure, index);
}

}  // namespace pyconv
