#include "sim/ends.hpp"

#include <algorithm>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;

bool says_something(const Program& program, const Op& op, OpId dep) {
    const Op& before = program.op(dep);
    if (before.kind == OpKind::host_wait) return false;
    if (op.recorded) return false; // the allocator gives the memory back later; the stream does not wait (record_stream)
    return op.kind == OpKind::host_wait || before.stream != op.stream;
}

/// Where an op's end is asked for last. kAlways: by an earlier position (in the next step) or in another segment.
struct Uses {
    static constexpr std::size_t kNever = 0, kAlways = ~std::size_t{0};
    std::vector<std::size_t> last;
};

Uses uses(const Program& program) {
    Uses result{std::vector<std::size_t>(program.ops.size(), Uses::kNever)};
    const auto segment = [&](std::size_t op) { return op < program.first_begin ? 0 : op < program.steady_begin ? 1 : 2; };
    for (std::size_t i = 0; i < program.ops.size(); ++i)
        for (const OpId dep : program.deps_of(program.ops[i])) {
            const std::size_t d = dep.index();
            if (!says_something(program, program.ops[i], dep)) continue;
            result.last[d] = d < i && segment(d) == segment(i) ? std::max(result.last[d], i) : Uses::kAlways;
        }
    return result;
}

} // namespace

Ends ends(const Program& program) {
    const Uses used = uses(program);
    Ends result;
    result.column.assign(program.ops.size(), Ends::kNone);
    std::vector<std::uint32_t> vacant;
    std::vector<std::vector<std::uint32_t>> released(program.ops.size()); // by op: columns that nobody asks for after it
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        if (used.last[i] != Uses::kNever) {
            const bool always = used.last[i] == Uses::kAlways; // a column of its own: it is 0 before the op first runs
            std::uint32_t column = static_cast<std::uint32_t>(result.columns);
            if (always || vacant.empty())
                ++result.columns;
            else {
                column = vacant.back();
                vacant.pop_back();
            }
            result.column[i] = static_cast<std::int32_t>(column);
            if (!always) released[used.last[i]].push_back(column);
        }
        vacant.insert(vacant.end(), released[i].begin(), released[i].end());
    }
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        result.begins.push_back(static_cast<std::uint32_t>(result.needed.size()));
        for (const OpId dep : program.deps_of(program.ops[i]))
            if (says_something(program, program.ops[i], dep))
                result.needed.push_back(static_cast<std::uint32_t>(result.column[dep.index()]));
    }
    result.begins.push_back(static_cast<std::uint32_t>(result.needed.size()));
    return result;
}

} // namespace zerosim::sim
