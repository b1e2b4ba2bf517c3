#include "cli/collective_benchmark.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace zerosim::cli {
namespace {

/// Small integers: exact in every type, and so are their sums in fp32. Differs by rank and by place.
double pattern(std::int64_t rank, std::int64_t index) { return static_cast<double>((rank * 7 + index) % 13); }

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

/// Buffers and call of one rank.
struct Exercise {
    Exercise(const CollectiveCase& what, const TeamRank& rank)
        : kind(what.kind),
          type(what.type),
          rank_index(rank.rank()),
          ranks(rank.size()),
          count(call_count(kind, type, what.bytes, ranks)) {
        const bool reduces = kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter;
        sent = kind == CollectiveKind::reduce_scatter || kind == CollectiveKind::all_to_all ? count * ranks : count;
        received = kind == CollectiveKind::all_gather || kind == CollectiveKind::all_to_all ? count * ranks : count;
        send.resize(static_cast<std::size_t>(sent * size_of(type)));
        receive.resize(static_cast<std::size_t>(received * size_of(type)));
        scratch.resize(static_cast<std::size_t>(comm::scratch_bytes(kind, count, type, ranks)));
        for (std::int64_t i = 0; i < sent; ++i) store(type, send.data(), i, pattern(rank_index, i));
        call = {kind, reduces ? Reduction::sum : Reduction::none, type, count, 0, send.data(), receive.data(), scratch.data()};
    }

    /// What element `index` of the receive buffer must be.
    double expected(std::int64_t index) const {
        double sum = 0;
        switch (kind) {
            case CollectiveKind::all_gather: return pattern(index / count, index % count);
            case CollectiveKind::all_to_all: return pattern(index / count, rank_index * count + index % count);
            case CollectiveKind::broadcast: return pattern(0, index);
            case CollectiveKind::all_reduce:
                for (int r = 0; r < ranks; ++r) sum += pattern(r, index);
                return sum;
            case CollectiveKind::reduce_scatter:
                for (int r = 0; r < ranks; ++r) sum += pattern(r, rank_index * count + index);
                return sum;
        }
        return 0;
    }

    std::int64_t wrong() const {
        if (kind == CollectiveKind::broadcast && rank_index == 0) return 0; // the root's receive buffer is not written
        std::int64_t differing = 0;
        std::byte must[8];
        const std::int64_t size = size_of(type);
        for (std::int64_t i = 0; i < received; ++i) {
            store(type, must, 0, expected(i));
            differing += std::memcmp(must, receive.data() + i * size, static_cast<std::size_t>(size)) != 0;
        }
        return differing;
    }

    CollectiveKind kind;
    DType type;
    int rank_index, ranks;
    std::int64_t count, sent = 0, received = 0;
    std::vector<std::byte> send, receive, scratch;
    comm::CollectiveCall call;
};

double seconds_of_one(TeamRank& rank, const comm::CollectiveCall& call) {
    rank.barrier();
    const auto begin = std::chrono::steady_clock::now();
    rank.run(call);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

} // namespace

double percentile(std::vector<double> samples, double fraction) {
    if (samples.empty()) return 0.0;
    std::sort(samples.begin(), samples.end());
    const double position = fraction * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, samples.size() - 1);
    return std::lerp(samples[below], samples[above], position - static_cast<double>(below));
}

std::int64_t call_count(CollectiveKind kind, DType type, std::int64_t bytes, std::int64_t ranks) {
    return bytes / comm::message_bytes(kind, 1, type, ranks);
}

CollectiveSample measure_collective(TeamRank& rank, const CollectiveCase& what) {
    constexpr int kWarmUps = 3; // page faults, and the communicator's own buffers
    Exercise exercise(what, rank);
    std::vector<double> mine;
    for (int i = 0; i < kWarmUps; ++i) (void)seconds_of_one(rank, exercise.call);
    std::fill(exercise.receive.begin(), exercise.receive.end(), std::byte{0xff});
    for (int i = 0; i < what.repeats; ++i) mine.push_back(seconds_of_one(rank, exercise.call));

    const std::vector<double> all = rank.gather(mine);
    std::vector<double> slowest(mine.size(), 0.0);
    for (std::size_t i = 0; i < all.size(); ++i) slowest[i % mine.size()] = std::max(slowest[i % mine.size()], all[i]);
    double wrong = 0;
    for (const double of_rank : rank.gather({static_cast<double>(exercise.wrong())})) wrong += of_rank;

    CollectiveSample sample{what.kind, what.type, comm::message_bytes(what.kind, exercise.count, what.type, rank.size()), 0, 0, 0,
                            0,         0};
    sample.count = sample.bytes / size_of(what.type);
    sample.seconds = percentile(slowest, 0.5);
    sample.low_seconds = percentile(slowest, 0.1);
    sample.high_seconds = percentile(slowest, 0.9);
    sample.wrong = static_cast<std::int64_t>(wrong);
    return sample;
}

} // namespace zerosim::cli
