// Why the peak is where it is: the op, who holds the bytes with the formula of each, what would lower it, and what others estimate.
// Filled by explain() and by cli/, which plans the alternatives; part of RunReport; rendered by report/.
// Plain data in bytes; replans nothing.
#pragma once

#include "schedule/tensor.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// What is alive at the peak under one name: storages of the same name and shape are counted together.
struct Holder {
    std::string name;              // "gate", or "blocks' weights"
    schedule::Role role{};
    std::int64_t bytes = 0;
    std::int64_t count = 0;        // storages
    std::string formula;           // "T x V x 4 B x 2"
    std::string numbers;           // "T = 8,192, V = 128,256"
};

/// A changed option, planned again: what the peak becomes.
struct Alternative {
    std::string key, value;        // "train.recompute", "full"; empty value: not an option of zerosim
    std::string what;              // "recompute every block"
    std::int64_t peak_allocated = 0, saves = 0;   // bytes; saves < 0: costs more
};

struct Explanation {
    std::string peak_op, peak_phase;
    std::int64_t peak_layer = -1, peak_bytes = 0;
    std::vector<Holder> holders;            // the ten largest, descending
    std::int64_t other_bytes = 0;           // all else that is alive
    std::vector<Alternative> alternatives;  // by what they save
    std::vector<std::string> remarks;       // what is wasteful in this scenario, when true
};

/// What another tool's published formula gives.
struct Estimate {
    std::string tool, formula;
    double device_bytes = 0, host_bytes = 0;
};

/// The largest (or smallest) value of an option that fits the device, and what stops the next.
struct Limit {
    std::string key;
    bool largest = true;
    std::int64_t value = 0, next = 0;       // value 0: nothing fits
    std::int64_t step = 1;                  // only multiples of it were tried
    std::string stopped_by;
    std::int64_t evaluations = 0;
};

}  // namespace zerosim::analysis
