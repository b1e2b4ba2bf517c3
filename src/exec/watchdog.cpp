#include "exec/watchdog.hpp"

#include <fmt/core.h>

namespace zerosim::exec {

RunError failure_of_peer(std::int64_t rank, const comm::AbortNotice& notice) {
    return {rank, static_cast<ExitCode>(notice.code), fmt::format("ended because rank {} failed: {}", notice.rank, notice.reason), true};
}

std::string missing_line(const comm::PeerStatus& peer, const std::string& op_text) {
    if (!peer.answered) return fmt::format("\n  missing rank {}: does not answer: stopped, dead or unreachable", peer.rank);
    return fmt::format("\n  missing rank {}: is in step {}, op {}: {}", peer.rank, peer.step, peer.op, peer.op < 0 ? "before its first op" : op_text);
}

}  // namespace zerosim::exec
