#include "cli/partition.hpp"

#include <algorithm>

namespace zerosim::cli {
namespace {

using schedule::FlatLayout;

void add_ranges(std::vector<OwnedRange>& owned, const schedule::Schedule& schedule, std::int64_t rank,
                const schedule::ShardRange& range) {
    const FlatLayout& layout = schedule.layout(range.layout);
    const std::int64_t begin = range.start.at(schedule.coordinate(range.start, rank));
    const std::int64_t end = begin + range.count;
    for (const FlatLayout::Segment& segment : layout.segments) {
        const std::int64_t from = std::max(begin, segment.offset), to = std::min(end, segment.offset + segment.count);
        if (from >= to) continue;
        owned.push_back({rank, std::string(schedule.names[layout.name]),
                         schedule.parameters.at(static_cast<std::size_t>(segment.parameter)), from - segment.offset,
                         to - segment.offset, segment.count});
    }
}

} // namespace

std::vector<OwnedRange> owned_ranges(const schedule::Schedule& schedule) {
    std::vector<OwnedRange> owned;
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
        const schedule::Program& program = schedule.program_of(rank);
        for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
            const schedule::Op& op = program.ops[i];
            if (op.kind != schedule::OpKind::optimizer) continue;
            const std::size_t group = kernel::operands(op.kernel).size();
            const std::size_t ranges = kernel::is_multi_tensor(op.kernel) ? op.operands_count / group : 1;
            for (std::size_t k = 0; k < ranges; ++k) add_ranges(owned, schedule, rank, program.ranges[op.range + k]);
        }
    }
    return owned;
}

} // namespace zerosim::cli
