// The control channel of ranks that are threads of one process.
// Made by LocalWorld; served by each rank's communication thread.
// Does not look into a peer that does not serve: silence is what the watchdog is after.
#pragma once

#include "comm/control_channel.hpp"

#include <memory>

namespace zerosim::comm {

struct LocalControlGroup;

[[nodiscard]] std::shared_ptr<LocalControlGroup> make_local_control_group(int ranks);
[[nodiscard]] std::unique_ptr<ControlChannel> make_local_control(std::shared_ptr<LocalControlGroup> group, int rank);

} // namespace zerosim::comm
