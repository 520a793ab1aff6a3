// Memory for what kernels work in and for large results.
//
// The system hands out memory slowly: it fills every page with zeros at its first touch, which takes as long as a
// kernel takes to write a result. Blocks of some size are therefore kept for the next call, which mostly wants the
// same sizes again.
#pragma once

#include <cstddef>

#include "window.hpp"

namespace pyconv {

// From this size on a block is kept when it is released: so large a one malloc may take from the system at every call.
constexpr Index large_block = Index(1) << 17;

// Memory aligned to a cache line; null where there is not enough.
void* try_allocate(std::size_t bytes) noexcept;
void* try_reallocate(void* memory, std::size_t bytes) noexcept;
void release(void* memory) noexcept;

[[noreturn]] void out_of_memory();  // std::bad_alloc, which kernels do not include
void* allocate(std::size_t bytes);  // the same, or std::bad_alloc
// How many numbers these lines of an image have. Windows may reach through more padding than any memory, or any
// integer, holds: std::bad_alloc then.
Index numbers_of_lines(Index lines, Index pitch);

// In a namespace without a name, as it is instantiated in sources compiled for AVX: each keeps its copy.
namespace {

// One block for all threads of a kernel, taken before they start so that running out of memory is an exception in the
// caller and never one inside a parallel region.
template <class T>
class Scratch {
public:
    explicit Scratch(Index count) : data_(static_cast<T*>(allocate(std::size_t(count) * sizeof(T)))) {}
    ~Scratch() { release(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* data() const { return data_; }

private:
    T* data_;
};

}  // namespace
}  // namespace pyconv
