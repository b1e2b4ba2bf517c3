// What both watchdogs share, the host's communication thread and the second thread of a rank on a GPU: how long who waits before it speaks, and words.
// Used by communication_thread and stream_watch.
// Does not watch.
#pragma once

#include "comm/control_channel.hpp"
#include "exec/run_error.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace zerosim::exec {

/// How long peers may take to say where they are.
inline constexpr std::chrono::milliseconds kQueryPatience{500};
/// All ranks of a group run out of time together. Rank 0 speaks if it waits too; its question and its word take less than this.
inline constexpr double kOtherRanksGrace = 0.8;
/// A rank that hangs by itself is best named by the peers that wait for it: its own watchdog speaks later.
inline constexpr double kOwnHangGrace = 2.0;

/// This rank ends because another has said that it fails.
[[nodiscard]] RunError failure_of_peer(std::int64_t rank, const comm::AbortNotice& notice);
/// A line for a peer that the others wait for. `op_text`: its op in words, where it has begun one.
[[nodiscard]] std::string missing_line(const comm::PeerStatus& peer, const std::string& op_text);

}  // namespace zerosim::exec
