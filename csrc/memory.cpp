#include "memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace pyconv {
namespace {

constexpr std::size_t page = 4096, huge_page = std::size_t(1) << 21;
constexpr std::size_t most_kept = std::size_t(1) << 28, most_blocks = 64;
constexpr std::size_t most_in_heap = std::size_t(1) << 25;  // what is larger, glibc gives back to the system at once

// Lies before the memory that is handed out, aligned to a cache line as this is, so that no vector straddles two.
struct alignas(64) Block {
    std::size_t size;  // all that was taken from the system
    Block* older;      // while it is kept
};

bool is_large(std::size_t size) { return size >= std::size_t(large_block); }
bool is_huge(std::size_t size) { return size >= huge_page; }

// What lies before the memory that is handed out. Huge arrays of others begin at the beginning of a page: a CPU takes
// the load of a number for that of one just stored if they stand at the same place of two pages, and waits for it.
// Half a page apart, a kernel's loads run ahead of its stores.
std::size_t lead(std::size_t size) { return is_huge(size) ? 2048 : sizeof(Block); }
std::align_val_t alignment(std::size_t size) { return std::align_val_t{is_huge(size) ? huge_page : alignof(Block)}; }

// What is kept, the newest first. Whoever finds it locked does without: nobody waits, not even the child of a process
// that was forked while another thread held the lock.
Block* kept = nullptr;
std::mutex mutex;

char* begin(Block* block) { return reinterpret_cast<char*>(block + 1) - lead(block->size); }

void give_back(Block* block) { ::operator delete(begin(block), alignment(block->size)); }

void give_back_from(Block* block) {
    while (block) give_back(std::exchange(block, block->older));
}

Block* new_block(std::size_t size) {
    char* const memory = static_cast<char*>(::operator new(size, alignment(size), std::nothrow));
    if (!memory) return nullptr;
#ifdef __linux__
    // Of what is smaller than a huge page, nobody shall have a whole one. May fail: then pages are small.
    if (is_huge(size)) madvise(memory, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    return new (memory + lead(size) - sizeof(Block)) Block{size, nullptr};
}

// The newest of the kept blocks that is large enough and by at most a quarter too large.
Block* take(std::size_t size) {
    for (Block** place = &kept; *place; place = &(*place)->older)
        if ((*place)->size >= size && (*place)->size <= size + size / 4)
            return std::exchange(*place, (*place)->older);
    return nullptr;
}

// Lets the system take back a kept block's pages where it has no others left: then the next call waits for new ones.
void lend(Block* block) {
#if defined(__linux__) && defined(MADV_FREE)
    const std::size_t size = block->size;
    if (size <= most_in_heap) return;
    madvise(begin(block), size, MADV_FREE);
    block->size = size;  // what is written anew stays
#else
    static_cast<void>(block);
#endif
}

// Makes a block the newest; the oldest ones make room for it.
void keep(Block* block) {
    lend(block);
    block->older = kept;
    kept = block;
    std::size_t sum = 0, count = 0;
    for (Block** place = &kept; *place; place = &(*place)->older) {
        sum += (*place)->size;
        if (sum > most_kept || ++count > most_blocks) return give_back_from(std::exchange(*place, nullptr));
    }
}

// A kept block, or a new one, for which what is kept is given back if need be.
Block* large(std::size_t size) {
    const std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    if (!lock) return new_block(size);
    if (Block* const block = take(size)) return block;
    if (Block* const block = new_block(size)) return block;
    give_back_from(std::exchange(kept, nullptr));
    return new_block(size);
}

}  // namespace

void* try_allocate(std::size_t bytes) noexcept {
    if (bytes > PTRDIFF_MAX) return nullptr;
    const auto whole_pages = [](std::size_t count) { return (count + page - 1) / page * page; };
    std::size_t size = bytes + sizeof(Block);
    if (is_large(size)) size = whole_pages(size);
    if (is_huge(size)) size = whole_pages(bytes + lead(size));
    Block* const block = is_large(size) ? large(size) : new_block(size);
    return block ? block + 1 : nullptr;
}

void* try_reallocate(void* memory, std::size_t bytes) noexcept {
    void* const moved = try_allocate(bytes);
    if (!moved) return nullptr;
    std::size_t size = (static_cast<Block*>(memory) - 1)->size;
    size -= lead(size);
    std::memcpy(moved, memory, std::min(size, bytes));
    release(memory);
    return moved;
}

void out_of_memory() {
    struct OutOfMemory : std::bad_alloc {
        const char* what() const noexcept override {
            return "there is not enough memory for the result of this call, or for the padded rows it works on";
        }
    };
    throw OutOfMemory();
}

Index numbers_of_lines(Index lines, Index pitch) {
    constexpr Index most = Index(1) << 34;
    if (lines > 0 && pitch > most / lines) out_of_memory();
    return lines * pitch;
}

void* allocate(std::size_t bytes) {
    if (void* const memory = try_allocate(bytes)) return memory;
    out_of_memory();
}

void release(void* memory) noexcept {
    Block* const block = static_cast<Block*>(memory) - 1;
    if (is_large(block->size) && block->size <= most_kept)
        if (const std::unique_lock<std::mutex> lock(mutex, std::try_to_lock); lock) return keep(block);
    give_back(block);
}

}  // namespace pyconv
