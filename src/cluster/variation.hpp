// How the devices and links of one job differ from what its cluster file says: jitter, slow ranks, slow and failed links.
// Filled by config/ from variation.*; read by sim/, which then keeps a clock for every rank.
// Describes; draws no random numbers (sim/ does, from the seed).
#pragma once

#include <cstdint>
#include <vector>

namespace zerosim::cluster {

/// Ranks [first, last] take `factor` times as long for every kernel.
struct SlowRanks {
    std::int64_t first = 0, last = 0;
    double factor = 1;
};

enum class LinkTier : std::uint8_t { nvlink, network };

/// The links of ranks [first, last] have `fraction` of their bandwidth. 0 = failed: their traffic goes another way.
struct LinkFault {
    LinkTier tier = LinkTier::network;
    std::int64_t first = 0, last = 0;
    double fraction = 1;
};

/// Two devices of a node whose own link is down. Groups with both of them have one link fewer.
struct FailedPair {
    std::int64_t first = 0, second = 0;
};

struct Variation {
    double jitter = 0;        // relative standard deviation of a kernel's duration, drawn for each rank, step and op
    double device_spread = 0; // relative standard deviation of whole devices' durations, drawn once for each rank
    std::uint64_t seed = 0;
    bool every_rank = false;  // a clock for each rank even when nothing varies
    std::vector<SlowRanks> slow_ranks;
    std::vector<LinkFault> links;
    std::vector<FailedPair> pairs;
    [[nodiscard]] bool none() const {
        return jitter == 0 && device_spread == 0 && !every_rank && slow_ranks.empty() && links.empty() && pairs.empty();
    }
};

} // namespace zerosim::cluster
