// Faults on demand (--inject rank:op:throw|hang|slow|exit): what a drill or a test makes one rank do.
// Read by the interpreter before each op.
// Does not parse the option: config/ does.
#pragma once

#include <cstdint>

namespace zerosim::exec {

enum class FaultKind : std::uint8_t { fail, hang, slow, exit };

struct Fault {
    std::int64_t rank = 0;
    std::size_t op = 0;        // position in the program; acts whenever it is reached
    FaultKind kind = FaultKind::fail;
};

/// How long `slow` delays each time its op is reached.
inline constexpr int kSlowMilliseconds = 50;

}  // namespace zerosim::exec
