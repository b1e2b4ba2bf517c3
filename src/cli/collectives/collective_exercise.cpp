#include "cli/collectives/collective_exercise.hpp"

#include "base/error.hpp"
#include "cli/collectives/collective_benchmark.hpp"

#include <algorithm>
#include <cmath>
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
        case DType::int32: return put(static_cast<std::int32_t>(value));
        case DType::int64: return put(static_cast<std::int64_t>(value));
        case DType::uint8: return put(static_cast<std::uint8_t>(value));
    }
}

double load(DType type, const std::byte* at) {
    const auto get = [&](auto bits) { return std::memcpy(&bits, at, sizeof bits), bits; };
    switch (type) {
        case DType::fp32: return get(float{});
        case DType::fp64: return get(double{});
        case DType::bf16: return bf16_to_float(get(std::uint16_t{}));
        case DType::fp16: return fp16_to_float(get(std::uint16_t{}));
        case DType::int32: return get(std::int32_t{});
        case DType::int64: return static_cast<double>(get(std::int64_t{}));
        case DType::uint8: return get(std::uint8_t{});
    }
    return 0;
}

/// Of averages: the distance from 1 to the next number of the type.
double epsilon(DType type) { return type == DType::bf16 ? 0x1p-7 : type == DType::fp16 ? 0x1p-10 : type == DType::fp32 ? 0x1p-23 : 0x1p-52; }

/// bf16 holds whole numbers up to 256, and a byte up to 255: sums over more ranks need smaller ones.
std::int64_t modulus_of(int ranks) { return std::clamp<std::int64_t>(256 / ranks, 2, 13); }

}  // namespace

CollectiveExercise::CollectiveExercise(CollectiveKind what, DType element, std::int64_t bytes, int of_rank, int of, int from, Reduction how)
    : kind(what), type(element), rank(of_rank), ranks(of), root(has_root(what) ? from : 0), reduction(is_reduction(what) ? how : Reduction::none),
      count(call_count(kind, type, bytes, ranks)), modulus_(modulus_of(ranks)) {
    const bool sends_parts = kind == CollectiveKind::reduce_scatter || kind == CollectiveKind::all_to_all || kind == CollectiveKind::scatter;
    const bool receives_parts = kind == CollectiveKind::all_gather || kind == CollectiveKind::all_to_all || kind == CollectiveKind::gather;
    sent = sends_parts ? count * ranks : count;
    received = receives_parts ? count * ranks : count;
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
    return {kind, reduction, type, count, root, send, receive, scratch};
}

double CollectiveExercise::reduced(std::int64_t index) const {
    const double sum = sums_[static_cast<std::size_t>(index % modulus_)];
    return reduction == Reduction::average ? sum / ranks : sum;
}

/// What element `index` of the received buffer must be.
double CollectiveExercise::expected(std::int64_t index) const {
    switch (kind) {
        case CollectiveKind::gather:
        case CollectiveKind::all_gather: return pattern(index / count, index % count);
        case CollectiveKind::all_to_all: return pattern(index / count, rank * count + index % count);
        case CollectiveKind::broadcast: return pattern(root, index);
        case CollectiveKind::scatter: return pattern(root, rank * count + index);
        case CollectiveKind::send_recv: return pattern((rank + ranks - 1) % ranks, index);
        case CollectiveKind::reduce:
        case CollectiveKind::all_reduce: return reduced(index);
        case CollectiveKind::reduce_scatter: return reduced(rank * count + index);
    }
    return 0;
}

std::int64_t CollectiveExercise::wrong(const std::byte* result, bool in_place) const {
    const bool at_root = rank == root;
    if (kind == CollectiveKind::broadcast && at_root && !in_place) return 0;
    if ((kind == CollectiveKind::reduce || kind == CollectiveKind::gather) && !at_root) return 0;
    std::int64_t differing = 0;
    std::byte must[8];
    const std::int64_t size = size_of(type);
    const double tolerance = reduction == Reduction::average ? (ranks + 1) * epsilon(type) : 0; // NCCL scales every rank's part and rounds each sum
    for (std::int64_t i = 0; i < received; ++i) {
        const double value = expected(i);
        store(type, must, 0, value);
        const bool same = std::memcmp(must, result + i * size, static_cast<std::size_t>(size)) == 0;
        differing += !same && !(std::abs(load(type, result + i * size) - value) <= tolerance * std::abs(value));
    }
    return differing;
}

}  // namespace zerosim::cli
