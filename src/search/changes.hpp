// Which single changes of a scenario could lower its memory, as option and value: what `--explain` plans again, one after the other.
// Called by cli/, which resolves and plans each; a change that the scenario's system refuses is dropped there.
// Promises nothing: what a change saves is measured by planning, never by rule of thumb.
#pragma once

#include "strategy/scenario.hpp"

#include <string>
#include <vector>

namespace zerosim::search {

struct Change {
    std::string key, value;
    std::string what;              // for people: "recompute every block in backward"
    bool lowers = true;            // asked for to save memory; false: asked for to see whether the present setting is worth it
};
[[nodiscard]] std::vector<Change> changes(const strategy::Scenario& scenario);

/// Sizes that waste time or memory whatever the strategy: an unaligned vocabulary or hidden size.
[[nodiscard]] std::vector<std::string> unaligned_sizes(const strategy::Scenario& scenario);

}  // namespace zerosim::search
