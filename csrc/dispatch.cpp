#include "dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

namespace pyconv {
namespace {

std::vector<const Table*> supported_tables() {
    std::vector<const Table*> tables{&baseline::table};
#ifdef PYCONV_X86
    // These built-ins also ask whether the operating system saves the wide registers.
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        tables.push_back(&avx2::table);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            tables.push_back(&avx512::table);
    }
#endif
    return tables;
}

const Table& choose() {
    const auto tables = supported_tables();
    const char* wanted = std::getenv("PYCONV_ISA");
    if (!wanted || !*wanted) return *tables.back();
    std::string names;
    for (const Table* table : tables) {
        if (std::string(wanted) == table->isa) return *table;
        names += names.empty() ? table->isa : std::string(", ") + table->isa;
    }
    throw std::runtime_error("PYCONV_ISA='" + std::string(wanted) +
                             "' is not an instruction set that this build has and this CPU runs. Set it to one of " +
                             names + ", or unset it to use the widest.");
}

}  // namespace

const Table& kernels() {
    static const Table& chosen = choose();
    return chosen;
}

std::vector<std::string> supported_isas() {
    std::vector<std::string> names;
    for (const Table* table : supported_tables()) names.emplace_back(table->isa);
    return names;
}

}  // namespace pyconv
