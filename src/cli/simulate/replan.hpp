// The same scenario with options changed: resolved, planned, and its memory, without simulating time.
// Called by `simulate --explain`, `--max` and `--min`.
// Changes nothing that was not asked; a change that the scenario refuses is said, not thrown.
#pragma once

#include "analysis/memory_report.hpp"
#include "cli/commands.hpp"
#include "config/resolve.hpp"

#include <optional>
#include <string>

namespace zerosim::cli {

struct Replanned {
    config::Resolved resolved;
    analysis::MemoryReport memory;      // the largest rank's
};

class Replanner {
public:
    explicit Replanner(const Invocation& invocation);
    /// The option keeps this value in all that follows.
    void fix(const std::string& key, const std::string& value) { values_of_request().set(key, value, "limit"); }
    /// Under MPI the launcher says how many ranks there are.
    void launched(std::int64_t ranks) { machine_.launched_ranks = ranks; }
    /// Nothing when the changed scenario is refused or cannot be planned; `refusal()` then says why.
    [[nodiscard]] std::optional<Replanned> with(const std::string& key, const std::string& value);
    [[nodiscard]] config::Resolved resolved_with(const std::string& key, const std::string& value);
    [[nodiscard]] const std::string& refusal() const { return refusal_; }
    [[nodiscard]] const config::Values& values() { return values_of_request(); }

private:
    [[nodiscard]] config::Values& values_of_request();
    const Invocation& invocation_;      // outlives this
    config::Machine machine_;
    std::optional<config::Values> values_;   // as asked, nothing settled yet; read when the first change is tried
    std::string refusal_;
};

}  // namespace zerosim::cli
