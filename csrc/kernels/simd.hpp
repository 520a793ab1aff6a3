// The vector of the instruction set being compiled, and the few operations on it that plain loops do not express.
#pragma once

#include "../window.hpp"

// Before a function that takes no time beside a kernel: compiled once, and not into every function that calls it.
#define PYCONV_ONCE __attribute__((noinline))
// Before one that is called once a call of a kernel, to lay out its work, or seldom: the same, and compiled to little
// code.
#define PYCONV_SETUP __attribute__((noinline, cold))

namespace pyconv::PYCONV_ISA {
namespace {

// Where CMakeLists.txt says so, some algorithms that are there for speed alone are left out.
#ifdef PYCONV_SMALL
constexpr bool small_rather_than_fast = true;
#else
constexpr bool small_rather_than_fast = false;
#endif
// Others are there for floats alone: doubles, which seldom hurry, would double their size.
template <class T>
constexpr bool hurries = !small_rather_than_fast && sizeof(T) == sizeof(float);

// PYCONV_VECTOR_BYTES: 16 (SSE2, NEON), 32 (AVX2) or 64 (AVX-512), set by the source file that includes this.
template <class T>
constexpr Index vector_lanes = PYCONV_VECTOR_BYTES / Index(sizeof(T));
constexpr bool is_avx512 = PYCONV_VECTOR_BYTES == 64;  // 32 registers, and shuffles of whole vectors
template <class T>
constexpr bool is_avx512_float = is_avx512 && hurries<T>;  // some are worth it there alone

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }
constexpr Index larger(Index a, Index b) { return a > b ? a : b; }
constexpr Index divided_up(Index a, Index b) { return (a + b - 1) / b; }
constexpr Index rounded_up(Index a, Index b) { return divided_up(a, b) * b; }

// GCC and Clang turn arithmetic on these types into the vector instructions of the target.
// Vectors of every width, for rows shorter than the widest: Lanes<T, N> is N numbers side by side, or with N = 1 a
// plain number, so that one template serves whole vectors and single elements. WholeLanes<T, N> are the integers
// that comparing two of them gives, one of the same width per lane.
template <class T, int N>
struct Pack {
    // aligned(sizeof(T)): a vector may be loaded from any element of an array
    typedef T Type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <class T>
struct Pack<T, 1> {
    typedef T Type;
};
template <class T, int N>
using Lanes = typename Pack<T, N>::Type;
template <class T>
using Vector = Lanes<T, int(vector_lanes<T>)>;

template <class T>
struct Whole {
    typedef std::int64_t Type;
};
template <>
struct Whole<float> {
    typedef std::int32_t Type;
};
template <class T, int N = 1>
using WholeLanes = Lanes<typename Whole<T>::Type, N>;

// The same number in every lane.
template <int N, class T>
inline Lanes<T, N> broadcast(T value) {
    if constexpr (N == 1)
        return value;
    else
        return value - Lanes<T, N>{};  // always the value, so that nothing is computed; -0 + 0 would be 0
}

// 0, 1, 2, ... as integers as wide as a T
template <class T, int N>
inline WholeLanes<T, N> lane_numbers() {
    WholeLanes<T, N> numbers = {};
    for (int i = 0; i < N; ++i) numbers[i] = i;
    return numbers;
}

template <int N, class T>
inline Lanes<T, N> load(const T* from) {
    if constexpr (N == 1)
        return *from;
    else
        return *reinterpret_cast<const Lanes<T, N>*>(from);
}

template <int N, class T>
inline void store(T* to, Lanes<T, N> values) {
    if constexpr (N == 1)
        *to = values;
    else
        *reinterpret_cast<Lanes<T, N>*>(to) = values;
}

// N bytes as integers as wide as a T. Steps of twice the width: GCC 12 takes longer ones a lane at a time.
template <class T, int N>
inline WholeLanes<T, N> load_whole(const std::uint8_t* from) {
    if constexpr (N == 1) {
        return *from;
    } else {
        const auto bits16 = __builtin_convertvector(load<N>(from), Lanes<std::int16_t, N>);
        const auto bits32 = __builtin_convertvector(bits16, Lanes<std::int32_t, N>);
        return __builtin_convertvector(bits32, WholeLanes<T, N>);
    }
}

// The last byte of each of N integers as wide as a T. AVX-512 has one instruction for it.
template <class T, int N>
inline void store_bytes(std::uint8_t* to, WholeLanes<T, N> values) {
    if constexpr (N == 1) {
        *to = std::uint8_t(values);
    } else if constexpr (is_avx512) {
        store<N>(to, __builtin_convertvector(values, Lanes<std::uint8_t, N>));
    } else {
        const auto bits32 = __builtin_convertvector(values, Lanes<std::int32_t, N>);
        const auto bits16 = __builtin_convertvector(bits32, Lanes<std::int16_t, N>);
        store<N>(to, __builtin_convertvector(bits16, Lanes<std::uint8_t, N>));
    }
}

// Counting<N> is Sequence<0, ..., N - 1>: the lane numbers that a shuffle takes as constants.
template <int... I>
struct Sequence {};
template <int N, int... I>
struct CountDown : CountDown<N - 1, N - 1, I...> {};
template <int... I>
struct CountDown<0, I...> {
    typedef Sequence<I...> Type;
};
template <int N>
using Counting = typename CountDown<N>::Type;

// Every second lane of two vectors side by side: of `low` from lane LowOdd on, of `high` from HighOdd on. AVX2 shuffles
// within each 16 bytes in one instruction, so of vectors of 32 bytes the result is out of order until restore_order.
template <int LowOdd, int HighOdd, class V, int... I>
inline V every_second(V low, V high, Sequence<I...>) {
    constexpr int N = sizeof...(I), E = 16 * N / int(sizeof(V)), half = E / 2;
    if constexpr (sizeof(V) == 32)
        return __builtin_shufflevector(low, high,
                                       (I / E * E + I % half * 2 + (I % E < half ? LowOdd : HighOdd + N))...);
    else
        return __builtin_shufflevector(low, high, (2 * I + (2 * I < N ? LowOdd : HighOdd))...);
}

// Puts what every_second answers in order: its halves of 16 bytes lie one of `low`, one of `high`, and so on.
template <class V, int... I>
inline V restore_order(V values, Sequence<I...>) {
    constexpr int N = sizeof...(I), E = 16 * N / int(sizeof(V)), half = E / 2;
    if constexpr (sizeof(V) == 32)
        return __builtin_shufflevector(values, values, (I / half % 2 * E + I / E * half + I % half)...);
    else
        return values;
}

// from[0], from[stride], ..., from[(N - 1) * stride], of a stride that is a power of two, from two vectors of half the
// stride. The second starts one step of these early, to end on the last number wanted: what lies behind it may be
// outside the array.
template <Index stride, class T, int... I>
inline Lanes<T, sizeof...(I)> load_strided(const T* from, Sequence<I...> lanes) {
    constexpr int N = sizeof...(I);
    if constexpr (stride == 1) {
        return load<N>(from);
    } else {
        const Lanes<T, N> low = load_strided<stride / 2>(from, lanes);
        const Lanes<T, N> high = load_strided<stride / 2>(from + stride / 2 * (N - 1), lanes);
        return restore_order(every_second<0, 1>(low, high, lanes), lanes);
    }
}

// from[0], from[2], ..., from[2N - 2] and from[1], from[3], ..., from[2N - 1], both for restore_order
template <class T, int N>
struct Pairs {
    Lanes<T, N> even, odd;
};

template <int N, class T>
inline Pairs<T, N> load_pairs(const T* from) {
    const Lanes<T, N> low = load<N>(from), high = load<N>(from + N);
    const Counting<N> lanes;
    return {every_second<0, 0>(low, high, lanes), every_second<1, 1>(low, high, lanes)};
}

// from[0], from[stride], ..., from[(N - 1) * stride]. Stride is the stride where it is 1, 2 or 4, else 0.
template <int N, int Stride, class T>
inline Lanes<T, N> load_every(const T* from, Index stride) {
    if constexpr (N == 1 || Stride == 1) {
        return load<N>(from);
    } else if constexpr (Stride > 0) {
        return load_strided<Stride>(from, Counting<N>());
    } else {
        Lanes<T, N> values{};
        for (int i = 0; i < N; ++i) values[i] = from[i * stride];
        return values;
    }
}

// to = even[0], odd[0], even[1], odd[1], ...
template <class T, int... I>
inline void store_alternately(T* to, Lanes<T, sizeof...(I)> even, Lanes<T, sizeof...(I)> odd, Sequence<I...>) {
    constexpr int N = sizeof...(I);
    if constexpr (N == 1) {
        to[0] = even;
        to[1] = odd;
    } else {
        store<N>(to, __builtin_shufflevector(even, odd, (I / 2 + I % 2 * N)...));
        store<N>(to + N, __builtin_shufflevector(even, odd, (N / 2 + I / 2 + I % 2 * N)...));
    }
}

// to[0], to[1], to[2], ... = even[0], odd[0], even[1], ..., `count` numbers in all
template <class T, int N = int(vector_lanes<T>)>
inline void alternate(T* to, const T* even, const T* odd, Index count) {
    Index i = 0;
    for (; 2 * (i + N) <= count; i += N)
        store_alternately(to + 2 * i, load<N>(even + i), load<N>(odd + i), Counting<N>());
    if constexpr (N > 1)
        alternate<T, N / 2>(to + 2 * i, even + i, odd + i, count - 2 * i);
    else if (2 * i < count)
        to[2 * i] = even[i];
}

// Choose<condition, A, B>::Type is A where the condition holds, else B.
template <bool condition, class A, class B>
struct Choose {
    typedef A Type;
};
template <class A, class B>
struct Choose<false, A, B> {
    typedef B Type;
};

template <int N>
struct Constant {
    static constexpr int value = N;
};

// Calls body(Constant<number>()) for a number from 1 to `most`.
template <int most, class Body>
inline void with_constant(Index number, const Body& body) {
    if constexpr (most > 1)
        if (number < most) return with_constant<most - 1>(number, body);
    body(Constant<most>());
}

// to[0..count) = value, by the widest vectors that fit; the last may overlap the one before.
template <class T, int N = int(vector_lanes<T>)>
inline void fill_few(T* to, Index count, T value) {
    if constexpr (N > 1) {
        if (count < N) return fill_few<T, N / 2>(to, count, value);
        const Lanes<T, N> values = broadcast<N>(value);
        for (Index i = 0; i + N < count; i += N) store<N>(to + i, values);
        store<N>(to + count - N, values);
    } else if (count > 0) {
        *to = value;
    }
}

// The same as a function of its own: fill_few is part of every function that calls it.
template <class T>
PYCONV_ONCE void fill(T* to, Index count, T value) {
    fill_few(to, count, value);
}

// to[i] = from[i * stride] for i < count, by the widest vectors that fit; the last may overlap the one before.
template <int stride = 1, class T, int N = int(vector_lanes<T>)>
inline void copy(T* to, const T* from, Index count) {
    if constexpr (N > 1) {
        if (count < N) return copy<stride, T, N / 2>(to, from, count);
        for (Index i = 0; i + N < count; i += N) store<N>(to + i, load_every<N, stride>(from + stride * i, stride));
        store<N>(to + count - N, load_every<N, stride>(from + stride * (count - N), stride));
    } else if (count > 0) {
        *to = *from;
    }
}

// to[i * step] = from[i]
template <class T>
inline void spread(T* to, Index step, const T* from, Index count) {
    if (step == 1) return copy(to, from, count);
    for (Index i = 0; i < count; ++i) to[i * step] = from[i];
}

// the sum of a vector's lanes, its halves added up first
template <class T, int N>
inline T sum_lanes(Lanes<T, N> values) {
    if constexpr (N == 1) {
        return values;
    } else {
        T at[N];
        store<N>(at, values);
        return sum_lanes<T, N / 2>(load<N / 2>(at) + load<N / 2>(at + N / 2));
    }
}

// body(0), ..., body(N - 1) with the numbers as constants: an array that is indexed by them alone needs no memory.
template <int N, class Body>
__attribute__((always_inline)) inline void repeat(const Body& body) {
    if constexpr (N > 0) {
        repeat<N - 1>(body);
        body(Constant<N - 1>());
    }
}

// to[k * to_step + i] = from[i * from_step + k] for a square of N x N numbers, of which `rows` rows are read. Each
// round riffles the first half of the rows with the second, as one riffles cards; after log2(N) rounds, what was a row is
// a column.
template <class T, int... I>
inline void transpose_square(const T* from, Index from_step, Index rows, T* to, Index to_step, Sequence<I...>) {
    constexpr int N = sizeof...(I), half = N / 2;
    Lanes<T, N> row[N], riffled[N];
    repeat<N>([&](auto i) {
        row[i.value] = i.value < rows ? load<N>(from + i.value * from_step) : Lanes<T, N>{};
    });
    for (int round = 1; round < N; round *= 2) {
        repeat<half>([&](auto i) {
            const Lanes<T, N> low = row[i.value], high = row[i.value + half];
            riffled[2 * i.value] = __builtin_shufflevector(low, high, (I / 2 + I % 2 * N)...);
            riffled[2 * i.value + 1] = __builtin_shufflevector(low, high, (half + I / 2 + I % 2 * N)...);
        });
        repeat<N>([&](auto i) { row[i.value] = riffled[i.value]; });
    }
    repeat<N>([&](auto i) { store<N>(to + i.value * to_step, row[i.value]); });
}

// The same for `rows` rows and `columns` columns, by the largest squares that fit; the last may overlap those before.
template <int N, class T>
inline void transpose_by_squares(const T* from, Index from_step, Index rows, Index columns, T* to, Index to_step) {
    if constexpr (N > 1)
        if (rows < N || columns < N) return transpose_by_squares<N / 2>(from, from_step, rows, columns, to, to_step);
    for (Index next = 0; next < rows; next += N)
        for (Index next_k = 0; next_k < columns; next_k += N) {
            const Index i = smaller(next, rows - N), k = smaller(next_k, columns - N);
            transpose_square(from + i * from_step + k, from_step, N, to + k * to_step + i, to_step, Counting<N>());
        }
}

// term(a[0]) + ... + term(a[count - 1]) in partial sums: four vectors of them, that do not wait for each other
template <class T, class Term>
T sum_terms(const T* a, Index count, const Term& term) {
    constexpr int L = int(vector_lanes<T>);
    Vector<T> partial[4] = {};
    Index i = 0;
    for (; i + 4 * L <= count; i += 4 * L)
        repeat<4>([&](auto p) { partial[p.value] += term(load<L>(a + i + p.value * L)); });
    for (; i + L <= count; i += L) partial[0] += term(load<L>(a + i));
    T rest = 0;
    for (; i < count; ++i) rest += term(a[i]);
    return sum_lanes<T, L>((partial[0] + partial[1]) + (partial[2] + partial[3])) + rest;
}

template <class T>
T sum(const T* a, Index count) {
    return sum_terms(a, count, [](auto value) { return value; });
}

template <class T>
PYCONV_ONCE T sum_squares(const T* a, Index count) {
    return sum_terms(a, count, [](auto value) { return value * value; });
}

// at[0] + at[step] + ..., in order: what `parts` threads summed up apart
template <class T>
T sum_of_parts(const T* at, Index step, int parts) {
    T total = *at;
    for (int part = 1; part < parts; ++part) total += at[part * step];
    return total;
}

// to[i] = y[i] <= 0 ? 0 : gradient[i]: what ReLU lets pass backward, y being its result.
template <class T>
PYCONV_ONCE void pass_relu(const T* y, const T* gradient, T* to, Index count) {
    constexpr int L = int(vector_lanes<T>);
    Index i = 0;
    for (; i + L <= count; i += L) {
        const Lanes<T, L> g = load<L>(gradient + i);
        store<L>(to + i, load<L>(y + i) <= 0 ? Lanes<T, L>{} : g);
    }
    for (; i < count; ++i) to[i] = y[i] <= 0 ? T(0) : gradient[i];
}

}  // namespace
}  // namespace pyconv::PYCONV_ISA
