// Collectives among ranks that are processes or threads of CPUs: what comm/ does, and the textbook algorithms of MPI libraries.
// Called by collective_seconds and collective_choice on CPU clusters.
// Idle cores: what ranks share them is collective_seconds'. The hand-over to the communication thread is the (sim/durations).
#pragma once

#include "base/dtype.hpp"
#include "cost/collective_choice.hpp"
#include "cost/cost.hpp"

namespace zerosim::cost {

struct HostTimed {
    Algorithm algorithm = Algorithm::exchange;
    double seconds = 0;
};

/// `bytes` of the larger buffer. By cluster.transport.algorithm; an algorithm that does not offer a kind leaves it to the exchange.
[[nodiscard]] HostTimed host_collective(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster,
                                        Coldness coldness = {}, DType type = DType::fp32);

} // namespace zerosim::cost
