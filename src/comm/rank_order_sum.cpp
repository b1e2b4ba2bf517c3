#include "comm/rank_order_sum.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace zerosim::comm {

namespace {

// Elements of an accumulator block: 8 KiB of floats stay in a 32 KiB first-level cache beside what is read.
constexpr std::int64_t kBlock = 2048;

/// All sources in one pass: each is read once and the sum never leaves the registers.
template <class T, std::size_t N>
void sum_unrolled(std::span<const void* const> sources, T* out, std::int64_t count) {
    std::array<const T*, N> source;
    for (std::size_t k = 0; k < N; ++k) source[k] = static_cast<const T*>(sources[k]);
#pragma GCC ivdep // `out` is disjoint from a source or equal to it
    for (std::int64_t i = 0; i < count; ++i) {
        T sum = source[0][i];
        for (std::size_t k = 1; k < N; ++k) sum = static_cast<T>(sum + source[k][i]);
        out[i] = sum;
    }
}

/// Any number of sources, through a block that stays in cache.
template <class T>
void sum_blocked(std::span<const void* const> sources, T* out, std::int64_t count) {
    std::array<T, kBlock> block;
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
        const std::int64_t length = std::min(kBlock, count - begin);
        std::memcpy(block.data(), static_cast<const T*>(sources[0]) + begin, static_cast<std::size_t>(length) * sizeof(T));
        for (std::size_t k = 1; k < sources.size(); ++k) {
            const T* source = static_cast<const T*>(sources[k]) + begin;
            for (std::int64_t i = 0; i < length; ++i)
                block[static_cast<std::size_t>(i)] = static_cast<T>(block[static_cast<std::size_t>(i)] + source[i]);
        }
        std::memcpy(out + begin, block.data(), static_cast<std::size_t>(length) * sizeof(T));
    }
}

template <class T>
void sum(std::span<const void* const> sources, void* out, std::int64_t count) {
    T* result = static_cast<T*>(out);
    switch (sources.size()) {
        case 2: return sum_unrolled<T, 2>(sources, result, count);
        case 3: return sum_unrolled<T, 3>(sources, result, count);
        case 4: return sum_unrolled<T, 4>(sources, result, count);
        case 8: return sum_unrolled<T, 8>(sources, result, count);
        default: return sum_blocked<T>(sources, result, count);
    }
}

struct Bf16 {
    static void widen(const std::uint16_t* from, float* to, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) to[i] = bf16_to_float(from[i]);
    }
    static void narrow(const float* from, std::uint16_t* to, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) to[i] = float_to_bf16(from[i]);
    }
};

struct Fp16 {
    static void widen(const std::uint16_t* from, float* to, std::int64_t count) {
        std::int64_t i = 0;
#ifdef __F16C__ // g++ 12 does not vectorise conversions of _Float16
        for (; i + 8 <= count; i += 8)
            _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
        for (; i < count; ++i) to[i] = fp16_to_float(from[i]);
    }
    static void narrow(const float* from, std::uint16_t* to, std::int64_t count) {
        std::int64_t i = 0;
#ifdef __F16C__
        for (; i + 8 <= count; i += 8)
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                             _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
        for (; i < count; ++i) to[i] = float_to_fp16(from[i]);
    }
};

/// 2-byte floats: widened, added in fp32, rounded once.
template <class Format>
void sum_wide(std::span<const void* const> sources, void* out, std::int64_t count, float factor) {
    std::array<float, kBlock> block, next;
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
        const std::int64_t length = std::min(kBlock, count - begin);
        Format::widen(static_cast<const std::uint16_t*>(sources[0]) + begin, block.data(), length);
        for (std::size_t k = 1; k < sources.size(); ++k) {
            Format::widen(static_cast<const std::uint16_t*>(sources[k]) + begin, next.data(), length);
            for (std::int64_t i = 0; i < length; ++i) block[static_cast<std::size_t>(i)] += next[static_cast<std::size_t>(i)];
        }
        if (factor != 1.0f)
            for (std::int64_t i = 0; i < length; ++i) block[static_cast<std::size_t>(i)] *= factor;
        Format::narrow(block.data(), static_cast<std::uint16_t*>(out) + begin, length);
    }
}

/// The callers' segments are still in cache.
template <class T>
void scaled_sum(std::span<const void* const> sources, void* out, std::int64_t count, double factor) {
    sum<T>(sources, out, count);
    if (factor == 1.0) return;
    auto* const result = static_cast<T*>(out);
    for (std::int64_t i = 0; i < count; ++i) result[i] *= static_cast<T>(factor);
}

} // namespace

void rank_order_sum(DType dtype, std::span<const void* const> sources, void* out, std::int64_t count, Reduction reduction) {
    if (count == 0) return;
    const double factor = reduction == Reduction::average ? 1.0 / static_cast<double>(sources.size()) : 1.0;
    if (sources.size() == 1) {
        if (out != sources[0]) std::memmove(out, sources[0], static_cast<std::size_t>(count * size_of(dtype)));
        return;
    }
    switch (dtype) {
        case DType::fp32: return scaled_sum<float>(sources, out, count, factor);
        case DType::fp64: return scaled_sum<double>(sources, out, count, factor);
        case DType::int32: return sum<std::uint32_t>(sources, out, count); // the same bits, and beyond the end they wrap around as in MPI and NCCL
        case DType::int64: return sum<std::uint64_t>(sources, out, count);
        case DType::uint8: return sum<std::uint8_t>(sources, out, count);
        case DType::bf16: return sum_wide<Bf16>(sources, out, count, static_cast<float>(factor));
        case DType::fp16: return sum_wide<Fp16>(sources, out, count, static_cast<float>(factor));
    }
}

} // namespace zerosim::comm
