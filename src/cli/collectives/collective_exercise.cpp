#include "cli/collectives/collective_exercise.hpp"

#include "base/error.hpp"
#include "cli/collectives/collective_benchmark.hpp"

#include <algorithm>
#include <cstring>

namespace zerosim::cli {
namespace {

void store(DType type, std::byte* buffer, std::int64_t index, double value) {
    const auto put = [&](auto bits) { std::memcpy(buffer + index * static_cast<std::int64_t>(sizeof bits), &bits, sizeof bits); };
    switch (type) {
        case DType::fp32: return put(static_cast<float>(value));
        case DType::fp64: return put(value);
        case DType::bf16: return put(float_to_bf16(static_cast<float>(value)));
        case DType::fp16: return put(float_to_fp16(static_cast<float>(value)));
        default: throw BugError("collectives are measured on floating-point types");
    }
}

/// bf16 holds whole numbers up to 256: sums over more ranks need smaller ones.
std::int64_t modulus_of(int ranks) { return std::clamp<std::int64_t>(256 / ranks, 2, 13); }

}  // namespace

CollectiveExercise::CollectiveExercise(CollectiveKind what, DType element, std::int64_t bytes, int of_rank, int of)
    : kind(what), type(element), rank(of_rank), ranks(of), count(call_count(kind, type, bytes, ranks)), modulus_(modulus_of(ranks)) {
    sent = kind == CollectiveKind::reduce_scatter || kind == CollectiveKind::all_to_all ? count * ranks : count;
    received = kind == CollectiveKind::all_gather || kind == CollectiveKind::all_to_all ? count * ranks : count;
    for (std::int64_t residue = 0; residue < modulus_; ++residue) {
        double& sum = sums_.emplace_back(0);
        for (int r = 0; r < ranks; ++r) sum += pattern(r, residue);
    }
}

std::vector<std::byte> CollectiveExercise::contents() const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(sent_bytes()));
    for (std::int64_t i = 0; i < sent; ++i) store(type, bytes.data(), i, pattern(rank, i));
    return bytes;
}

comm::CollectiveCall CollectiveExercise::call(const void* send, void* receive, void* scratch) const {
    const bool reduces = kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter;
    return {kind, reduces ? Reduction::sum : Reduction::none, type, count, 0, send, receive, scratch};
}

/// What element `index` of the received buffer must be.
double CollectiveExercise::expected(std::int64_t index) const {
    switch (kind) {
        case CollectiveKind::all_gather: return pattern(index / count, index % count);
        case CollectiveKind::all_to_all: return pattern(index / count, rank * count + index % count);
        case CollectiveKind::broadcast: return pattern(0, index);
        case CollectiveKind::all_reduce: return sums_[static_cast<std::size_t>(index % modulus_)];
        case CollectiveKind::reduce_scatter: return sums_[static_cast<std::size_t>((rank * count + index) % modulus_)];
    }
    return 0;
}

std::int64_t CollectiveExercise::wrong(const std::byte* result, bool in_place) const {
    if (kind == CollectiveKind::broadcast && rank == 0 && !in_place) return 0;
    std::int64_t differing = 0;
    std::byte must[8];
    const std::int64_t size = size_of(type);
    for (std::int64_t i = 0; i < received; ++i) {
        store(type, must, 0, expected(i));
        differing += std::memcmp(must, result + i * size, static_cast<std::size_t>(size)) != 0;
    }
    return differing;
}

}  // namespace zerosim::cli
