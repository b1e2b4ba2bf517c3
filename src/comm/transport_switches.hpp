// NCCL's own switches that force a path within a node, to be set before NCCL is loaded.
// Called by cli/ for each rank on a GPU.
// Sets nothing: it says what to set, and what in the environment contradicts.
#pragma once

#include "base/transport.hpp"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zerosim::comm {

using Switches = std::vector<std::pair<std::string, std::string>>;

/// `rank` of the job: with `network` each rank is a host of its own to NCCL.
[[nodiscard]] Switches transport_switches(Transport transport, int rank);

/// ConfigError when the environment (`value_of`: a variable's value) already holds another value of one of them: neither wins in silence.
void check_switches(const Switches& switches, Transport transport, const std::function<std::optional<std::string>(const std::string&)>& value_of);

/// Switches that make NCCL write what it connects to `file`; empty where the user has asked for NCCL's own log in some way.
[[nodiscard]] Switches log_switches(const std::string& file, const std::function<std::optional<std::string>(const std::string&)>& value_of);

}  // namespace zerosim::comm
