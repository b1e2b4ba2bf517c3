// Exchange of small host blobs (hashes, collective sequences, traces, results) over a Communicator.
// Called before and after a run, by every member alike; never on the hot path.
// Does not interpret the bytes; blocks until done.
#pragma once

#include "comm/communicator.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::comm {

/// Every rank's blob on every rank, by rank. Lengths may differ and may be zero.
[[nodiscard]] std::vector<std::string> all_gather_bytes(Communicator& communicator, std::string_view mine);
/// The root's blob on every rank; `mine` counts on the root alone.
[[nodiscard]] std::string broadcast_bytes(Communicator& communicator, std::string_view mine, int root);

} // namespace zerosim::comm
