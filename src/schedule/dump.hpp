// Text and JSON dump of a schedule: one line per op. `zerosim show --schedule` and the golden tests print it.
// Also the hash that ranks compare before a run.
// Does not parse: a dump is for reading.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>
#include <string>

namespace zerosim::schedule {

[[nodiscard]] std::string dump_text(const Schedule& schedule, std::uint32_t program);
[[nodiscard]] std::string dump_json(const Schedule& schedule, std::uint32_t program);
/// One line: stream, kind, name, tensors with shapes.
[[nodiscard]] std::string describe(const Schedule& schedule, const Program& program, OpId op);
/// "%7 L0 qkv bf16[32,192]"
[[nodiscard]] std::string describe(const Schedule& schedule, const Program& program, TensorId tensor);
/// The collectives of `rank` in issue order, one line each, with group, dtype, counts: equal text on every member.
[[nodiscard]] std::vector<std::string> collective_sequence(const Schedule& schedule, std::int64_t rank);

}  // namespace zerosim::schedule
