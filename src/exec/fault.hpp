// Faults on demand (--inject rank:op:throw|hang|slow|exit): what a drill or a test makes one rank do.
// Acted by the interpreters before each op.
// Does not parse the option: config/ does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace zerosim::exec {

enum class FaultKind : std::uint8_t { fail, hang, slow, exit };

struct Fault {
    std::int64_t rank = 0;
    std::size_t op = 0;        // position in the program; acts whenever it is reached
    FaultKind kind = FaultKind::fail;
};

/// Acts the fault at its op. `leave` ends the process without a word; `check` throws when something else has ended the run, which is how a
/// rank that hangs comes to its end. Throws EnvironmentError.
void act(const Fault& fault, const std::function<void()>& leave, const std::function<void()>& check);

}  // namespace zerosim::exec
