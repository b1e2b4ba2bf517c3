#include "cli/collectives/collective_benchmark.hpp"

#include "cli/collectives/other_work.hpp"
#include "device/pool_memory.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>

namespace zerosim::cli {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Begin and end, in turn. As within a step the collective follows other work at once: a barrier between the two would warm the transport up again.
void time_one(TeamRank& rank, OtherWork& other, const comm::CollectiveCall& call, std::vector<double>& times) {
    rank.barrier();
    other.run();
    times.push_back(now());
    rank.run(call);
    times.push_back(now());
}

/// Linux: the monotonic clock is the machine's, the same in all processes since one boot.
bool share_a_clock(TeamRank& rank) {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string boot;
    std::getline(file, boot);
    const auto mine = static_cast<double>(std::hash<std::string>{}(boot) >> 12U); // exact in a double
    const std::vector<double> all = rank.gather({mine});
    return !boot.empty() && std::ranges::all_of(all, [&](double other) { return other == all.front(); });
}

/// From the last rank's begin to the last one's end: what a rank waits for another is not the collective's.
std::vector<double> seconds_together(TeamRank& rank, const std::vector<double>& times) {
    const std::vector<double> all = rank.gather(times);
    std::vector<double> latest(times.size(), 0.0);
    for (std::size_t i = 0; i < all.size(); ++i) latest[i % times.size()] = std::max(latest[i % times.size()], all[i]);
    std::vector<double> seconds;
    for (std::size_t i = 0; i + 1 < latest.size(); i += 2) seconds.push_back(latest[i + 1] - latest[i]);
    return seconds;
}

/// Of hosts with clocks of their own: the slowest rank's, who had waited for the others at a barrier.
std::vector<double> seconds_apart(TeamRank& rank, const std::vector<double>& times) {
    std::vector<double> mine;
    for (std::size_t i = 0; i + 1 < times.size(); i += 2) mine.push_back(times[i + 1] - times[i]);
    return slowest_of_ranks(rank, mine);
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

CollectiveSample sample_of(const CollectiveExercise& exercise, std::vector<double> seconds, std::optional<std::int64_t> wrong) {
    CollectiveSample sample;
    sample.kind = exercise.kind;
    sample.type = exercise.type;
    sample.bytes = comm::message_bytes(exercise.kind, exercise.count, exercise.type, exercise.ranks);
    sample.count = exercise.count;
    sample.seconds = percentile(seconds, 0.5);
    sample.low_seconds = percentile(seconds, 0.1);
    sample.high_seconds = percentile(seconds, 0.9);
    sample.wrong = wrong.value_or(0);
    sample.checked = wrong.has_value();
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
    const CollectiveExercise exercise(what.kind, what.type, what.bytes, rank.rank(), rank.size(), what.options.root, what.options.reduction);
    const bool in_place = what.options.in_place;
    device::CachingMemory memory("buffers"); // huge pages, as a run has
    std::byte* const whole = in_place ? memory.allocate(std::max(exercise.sent_bytes(), exercise.received_bytes()), -1) : nullptr;
    std::byte* const send = in_place ? whole + exercise.send_offset() : memory.allocate(exercise.sent_bytes(), -1);
    std::byte* const receive = in_place ? whole + exercise.receive_offset() : memory.allocate(exercise.received_bytes(), -1);
    std::byte* const scratch = memory.allocate(comm::scratch_bytes(what.kind, exercise.count, what.type, rank.size()), -1);
    std::ranges::copy(exercise.contents(), send);
    const comm::CollectiveCall call = exercise.call(send, receive, scratch);
    OtherWork other(what.walked_bytes);
    const bool together = share_a_clock(rank);
    std::vector<double> times;
    const auto repeat = [&](int count) {
        times.clear();
        for (int i = 0; i < count; ++i) time_one(rank, other, call, times);
    };
    repeat(what.options.warm_ups.value_or(kWarmUps));
    repeat(what.repeats);
    const std::vector<double> seconds = together ? seconds_together(rank, times) : seconds_apart(rank, times);
    std::optional<std::int64_t> wrong;
    if (what.options.check) { // once more, on fresh contents: sums in place have grown with each repeat
        std::fill_n(receive, exercise.received_bytes(), std::byte{0xff});
        std::ranges::copy(exercise.contents(), send);
        rank.barrier();
        rank.run(call);
        wrong = wrong_of_ranks(rank, exercise.wrong(receive, in_place));
    }
    CollectiveSample sample = sample_of(exercise, seconds, wrong);
    sample.coldness = what.coldness;
    return sample;
}

} // namespace zerosim::cli
