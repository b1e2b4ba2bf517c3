#include "exec/rank_memory.hpp"

#include <algorithm>

namespace zerosim::exec {
namespace {

std::vector<device::RangeSegment> intersect(const schedule::FlatLayout& layout, std::int64_t begin, std::int64_t end) {
    std::vector<device::RangeSegment> parts;
    for (const auto& segment : layout.segments) {
        const std::int64_t from = std::max(begin, segment.offset), to = std::min(end, segment.offset + segment.count);
        if (from < to) parts.push_back({from - begin, to - from, segment.decays});
    }
    return parts;
}

}  // namespace

RankMemory::RankMemory(const schedule::Schedule& schedule, const schedule::Program& program, std::int64_t rank)
    : program_(program), bases_(program.storages.size(), nullptr) {
    offsets_.reserve(program.tensors.size());
    for (const auto& tensor : program.tensors) offsets_.push_back(tensor.offset.at(schedule.coordinate(tensor.offset, rank)));
    for (const auto& range : program.ranges) {
        const std::int64_t start = range.start.at(schedule.coordinate(range.start, rank));
        starts_.push_back(start);
        segments_.push_back(intersect(schedule.layout(range.layout), start, start + range.count));
    }
}

device::TensorView RankMemory::view(TensorId id) const {
    if (!id.valid()) return {};
    const schedule::Tensor& tensor = program_.tensor(id);
    return {bases_[tensor.storage.index()] + offsets_[id.index()], tensor.rows, tensor.columns, tensor.row_stride, tensor.dtype};
}

}  // namespace zerosim::exec
