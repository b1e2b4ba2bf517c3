#include "exec/final_parameters.hpp"

#include "base/error.hpp"
#include "base/rng.hpp"

#include <algorithm>
#include <cstring>

namespace zerosim::exec {
namespace {

struct Element {
    double value;
    std::uint64_t bits;
};

Element element(const std::vector<std::byte>& bytes, std::size_t at, DType type) {
    if (type == DType::fp32) {
        float value;
        std::memcpy(&value, bytes.data() + at * 4, 4);
        return {value, std::bit_cast<std::uint32_t>(value)};
    }
    std::uint16_t bits;
    std::memcpy(&bits, bytes.data() + at * 2, 2);
    return {type == DType::bf16 ? bf16_to_float(bits) : fp16_to_float(bits), bits};
}

/// `count` elements from `first` of the segment on.
void add_part(FinalParameter& result, device::Device& device, const std::byte* source, DType type, const schedule::FlatLayout::Segment& segment, std::int64_t first,
              std::int64_t count) {
    constexpr std::int64_t kChunk = 1 << 16;
    std::vector<std::byte> bytes(static_cast<std::size_t>(kChunk * size_of(type)));
    for (std::int64_t at = 0; at < count; at += kChunk) {
        const std::int64_t n = std::min(kChunk, count - at);
        device.download(source + at * size_of(type), bytes.data(), n * size_of(type));
        for (std::int64_t i = 0; i < n; ++i) {
            const auto [value, bits] = element(bytes, static_cast<std::size_t>(i), type);
            result.squared_norm += value * value;
            result.hash += hash64(static_cast<std::uint64_t>(segment.element(first + at + i)), bits);
        }
    }
}

struct Held {
    TensorId tensor;
    std::uint32_t range;
};

/// What is trained: the optimizer's shards, masters before parameters. Eager frameworks update many tensors at once and maybe only some of
/// those that a rank holds: there all that were given initial values and still lie in memory.
std::vector<Held> held_parameters(const schedule::Program& program, const RankMemory& memory) {
    std::vector<Held> shards, tensors;
    bool eager = false;
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        const bool updates = (op.kind == schedule::OpKind::optimizer || op.kind == schedule::OpKind::host_compute) && i >= program.steady_begin;
        if (!updates && op.kind != schedule::OpKind::initialize) continue;
        if (updates && kernel::is_multi_tensor(op.kernel)) {
            eager = true;
            continue;
        }
        const auto operands = program.operands_of(op);
        const Held held{operands[1].valid() ? operands[1] : operands[0], op.range};
        if (updates) shards.push_back(held);
        else if (memory.base(program.tensor(held.tensor).storage) != nullptr) tensors.push_back(held);
    }
    return eager ? tensors : shards;
}

/// Of the ranks that hold a part, the lowest reports it.
bool reports(const schedule::Schedule& schedule, const schedule::ShardRange& range, std::int64_t rank) {
    if (range.start.slope == 0) return rank == 0;
    const schedule::Axis& axis = schedule.axis(range.start.axis);
    return rank == axis.coordinate(rank) * axis.stride;
}

}  // namespace

std::vector<FinalParameter> final_parameters(const schedule::Schedule& schedule, const schedule::Program& program, const RankMemory& memory, std::int64_t rank,
                                             device::Device& device) {
    std::vector<FinalParameter> result(schedule.parameters.size());
    for (const Held& held : held_parameters(program, memory)) {
        const auto& range = program.ranges[held.range];
        if (!reports(schedule, range, rank)) continue;
        const device::TensorView view = memory.view(held.tensor);
        const std::int64_t start = memory.range_start(held.range);
        for (const auto& segment : schedule.layout(range.layout).segments) {
            const std::int64_t from = std::max(start, segment.offset), to = std::min(start + range.count, segment.offset + segment.count);
            if (from >= to) continue;
            add_part(result[static_cast<std::size_t>(segment.parameter)], device, static_cast<const std::byte*>(view.data) + (from - start) * size_of(view.dtype), view.dtype,
                     segment, from - segment.offset, to - from);
        }
    }
    return result;
}

}  // namespace zerosim::exec
