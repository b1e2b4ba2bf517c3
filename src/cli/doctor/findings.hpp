// What `doctor` has found: facts, what will hurt, what is missing with a way to get it.
// Filled by doctor_*; rendered by command_doctor.
// Holds text alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace zerosim::cli {

struct Findings {
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<std::string> warnings;     // it works, but slowly or not for long
    std::vector<std::string> missing;

    void add(const Findings& more) {
        facts.insert(facts.end(), more.facts.begin(), more.facts.end());
        warnings.insert(warnings.end(), more.warnings.begin(), more.warnings.end());
        missing.insert(missing.end(), more.missing.begin(), more.missing.end());
    }
};

}  // namespace zerosim::cli
