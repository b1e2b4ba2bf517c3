// RunError: what ended a rank, said in full: step, op and reason. Thrown by execute_rank and run_local.
// Caught by cli/, which says it once and ends the job.
// Does not print.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <string>

namespace zerosim::exec {

class RunError : public Error {
public:
    /// `of_peer`: this rank only learnt that another one failed, which says so itself.
    RunError(std::int64_t rank, ExitCode code, const std::string& what, bool of_peer) : Error(code, what), rank_(rank), of_peer_(of_peer) {}
    [[nodiscard]] std::int64_t rank() const noexcept { return rank_; }
    [[nodiscard]] bool of_peer() const noexcept { return of_peer_; }

private:
    std::int64_t rank_;
    bool of_peer_;
};

}  // namespace zerosim::exec
