#include "cli/collectives/collective_benchmark.hpp"

#include "device/pool_memory.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace zerosim::cli {
namespace {

double seconds_of_one(TeamRank& rank, const comm::CollectiveCall& call, std::vector<std::uint64_t>& other) {
    for (std::uint64_t& word : other) ++word;
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

CollectiveSample sample_of(const CollectiveExercise& exercise, std::vector<double> seconds, std::int64_t wrong) {
    CollectiveSample sample;
    sample.kind = exercise.kind;
    sample.type = exercise.type;
    sample.bytes = comm::message_bytes(exercise.kind, exercise.count, exercise.type, exercise.ranks);
    sample.count = exercise.count;
    sample.seconds = percentile(seconds, 0.5);
    sample.low_seconds = percentile(seconds, 0.1);
    sample.high_seconds = percentile(seconds, 0.9);
    sample.wrong = wrong;
    return sample;
}

std::vector<double> slowest_of_ranks(TeamRank& rank, const std::vector<double>& mine) {
    const std::vector<double> all = rank.gather(mine);
    std::vector<double> slowest(mine.size(), 0.0);
    for (std::size_t i = 0; i < all.size(); ++i) slowest[i % mine.size()] = std::max(slowest[i % mine.size()], all[i]);
    return slowest;
}

std::int64_t wrong_of_ranks(TeamRank& rank, std::int64_t mine) {
    double wrong = 0;
    for (const double of_rank : rank.gather({static_cast<double>(mine)})) wrong += of_rank;
    return static_cast<std::int64_t>(wrong);
}

CollectiveSample measure_collective(TeamRank& rank, const CollectiveCase& what) {
    constexpr int kWarmUps = 3; // page faults, and the communicator's own buffers
    const CollectiveExercise exercise(what.kind, what.type, what.bytes, rank.rank(), rank.size());
    device::CachingMemory memory("buffers"); // huge pages, as a run has
    std::byte* const send = memory.allocate(exercise.sent_bytes(), -1);
    std::byte* const receive = memory.allocate(exercise.received_bytes(), -1);
    std::byte* const scratch = memory.allocate(comm::scratch_bytes(what.kind, exercise.count, what.type, rank.size()), -1);
    std::ranges::copy(exercise.contents(), send);
    const comm::CollectiveCall call = exercise.call(send, receive, scratch);
    std::vector<std::uint64_t> other(static_cast<std::size_t>(what.walked_bytes) / sizeof(std::uint64_t));
    std::vector<double> mine;
    for (int i = 0; i < kWarmUps; ++i) (void)seconds_of_one(rank, call, other);
    std::fill_n(receive, exercise.received_bytes(), std::byte{0xff});
    for (int i = 0; i < what.repeats; ++i) mine.push_back(seconds_of_one(rank, call, other));
    const std::vector<double> slowest = slowest_of_ranks(rank, mine);
    CollectiveSample sample = sample_of(exercise, slowest, wrong_of_ranks(rank, exercise.wrong(receive, false)));
    sample.cold = what.walked_bytes > 0;
    return sample;
}

} // namespace zerosim::cli
