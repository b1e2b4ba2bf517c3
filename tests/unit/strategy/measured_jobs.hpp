// The measured PyTorch jobs of tests/truth/memory as scenarios, with what was measured.
// Used by the accuracy test of the systems ddp and fsdp2.
#pragma once

#include "strategy/scenario.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::tests {

struct MeasuredJob {
    std::string text;   // its line, for messages
    strategy::Scenario scenario;
    std::int64_t parameters = 0, after_init = 0, forward = 0, backward = 0, optimizer = 0, after_step = 0, peak = 0, reserved = 0;
};

[[nodiscard]] std::vector<MeasuredJob> measured_jobs();

}  // namespace zerosim::tests
