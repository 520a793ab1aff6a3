// Large results lie in memory that is kept when their arrays are gone; see ../memory.hpp. The arrays own it like any
// other, by NumPy's protocol for it (NEP 49), so that they can be resized and tracemalloc counts them.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>

#include "../memory.hpp"

namespace pyconv::bindings {

namespace py = pybind11;

// What NumPy calls for an array's memory, in the order of PyDataMem_Handler. A null pointer means there is none left.
struct DataHandler {
    char name[127];
    std::uint8_t version;
    void* context;
    void* (*allocate)(void* context, std::size_t bytes);
    void* (*allocate_zeros)(void* context, std::size_t count, std::size_t bytes);
    void* (*reallocate)(void* context, void* memory, std::size_t bytes);
    void (*release)(void* context, void* memory, std::size_t bytes);
};

inline DataHandler data_handler{
    "pyconv",
    1,
    nullptr,
    [](void*, std::size_t bytes) { return try_allocate(bytes); },
    [](void*, std::size_t count, std::size_t bytes) {
        void* const memory = __builtin_mul_overflow(count, bytes, &bytes) ? nullptr : try_allocate(bytes);
        return memory ? std::memset(memory, 0, bytes) : nullptr;
    },
    [](void*, void* memory, std::size_t bytes) { return try_reallocate(memory, bytes); },
    [](void*, void* memory, std::size_t) { pyconv::release(memory); },
};

using SetHandler = PyObject* (*)(PyObject* handler);

// NumPy's PyDataMem_SetHandler, which answers with the handler before.
inline SetHandler set_handler() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<SetHandler> storage;
    return storage
        .call_once_and_store_result([] {
            const py::capsule functions = py::detail::import_numpy_core_submodule("multiarray").attr("_ARRAY_API");
            return reinterpret_cast<SetHandler>(functions.get_pointer<void*>()[304]);
        })
        .get_stored();
}

// While it lives, NumPy takes the memory of new arrays from the handler, if it is to be as large as that.
class LargeArrayMemory {
public:
    explicit LargeArrayMemory(Index bytes) {
        if (bytes < large_block) return;
        const py::capsule ours(&data_handler, "mem_handler");
        before_ = py::reinterpret_steal<py::object>(set_handler()(ours.ptr()));
        if (!before_) throw py::error_already_set();
    }
    ~LargeArrayMemory() {
        if (before_ && !py::reinterpret_steal<py::object>(set_handler()(before_.ptr()))) PyErr_WriteUnraisable(nullptr);
    }
    LargeArrayMemory(const LargeArrayMemory&) = delete;
    LargeArrayMemory& operator=(const LargeArrayMemory&) = delete;

private:
    py::object before_;
};

}  // namespace pyconv::bindings
