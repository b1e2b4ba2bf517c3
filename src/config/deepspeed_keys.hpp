// The keys of a DeepSpeed JSON: what each one means here. Names and defaults: DeepSpeed 0.19 runtime/config.py, zero/config.py.
// Used by deepspeed_file.cpp.
// Holds no values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

enum class Meaning : std::uint8_t {
    number,
    flag,    // sets `option`
    derived, // a number, or "auto" = derived from the model
    own,     // has a rule of its own in deepspeed_file.cpp
    unused,  // known, without effect on a plan
    off,     // a feature that is not planned: any value but `option` is an error
};

struct DeepSpeedKey {
    std::string_view path;
    Meaning meaning;
    std::string_view option = "";
};

/// Null if DeepSpeed has no such key. A path below an `unused` one is that one's.
[[nodiscard]] const DeepSpeedKey* find_deepspeed_key(std::string_view path);
/// All keys of one object, for "did you mean".
[[nodiscard]] std::vector<std::string> deepspeed_keys_below(std::string_view object);
/// Sections that are objects.
[[nodiscard]] bool is_deepspeed_section(std::string_view path);

} // namespace zerosim::config
