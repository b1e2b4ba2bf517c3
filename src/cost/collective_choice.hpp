// Which algorithm and protocol a collective runs: the reason behind its duration.
// Called by `zerosim collectives --predict`.
// Does not time it (collective_seconds does).
#pragma once

#include "cost/nccl_tuning.hpp"

namespace zerosim::cost {

struct CollectiveChoice {
    Algorithm algorithm = Algorithm::ring;
    Protocol protocol = Protocol::simple;
};

/// Arguments as collective_seconds'. Throws ConfigError where the group needs links that the cluster lacks.
[[nodiscard]] CollectiveChoice collective_choice(CollectiveKind kind, std::int64_t message_bytes, std::int64_t ranks,
                                                 std::int64_t stride, const cluster::Cluster& cluster, std::int64_t world = 0);

} // namespace zerosim::cost
