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

void add_part(FinalParameter& result, device::Device& device, const std::byte* source, DType type, std::int64_t first_index, std::int64_t count) {
    constexpr std::int64_t kChunk = 1 << 16;
    std::vector<std::byte> bytes(static_cast<std::size_t>(kChunk * size_of(type)));
    for (std::int64_t at = 0; at < count; at += kChunk) {
        const std::int64_t n = std::min(kChunk, count - at);
        device.download(source + at * size_of(type), bytes.data(), n * size_of(type));
        for (std::int64_t i = 0; i < n; ++i) {
            const auto [value, bits] = element(bytes, static_cast<std::size_t>(i), type);
            result.squared_norm += value * value;
            result.hash += hash64(static_cast<std::uint64_t>(first_index + at + i), bits);
        }
    }
}

}  // namespace

std::vector<FinalParameter> final_parameters(const schedule::Schedule& schedule, const schedule::Program& program, const RankMemory& memory, std::int64_t rank,
                                             device::Device& device) {
    std::vector<FinalParameter> result(schedule.parameters.size());
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != schedule::OpKind::optimizer) continue;
        const auto& range = program.ranges[op.range];
        if (range.start.slope == 0 && rank != 0) continue;   // whole on every rank
        const auto operands = program.operands_of(op);
        const device::TensorView view = memory.view(operands[1].valid() ? operands[1] : operands[0]);
        const std::int64_t start = memory.range_start(op.range);
        for (const auto& segment : schedule.layout(range.layout).segments) {
            const std::int64_t from = std::max(start, segment.offset), to = std::min(start + range.count, segment.offset + segment.count);
            if (from >= to) continue;
            add_part(result[static_cast<std::size_t>(segment.parameter)], device, static_cast<const std::byte*>(view.data) + (from - start) * size_of(view.dtype), view.dtype,
                     from - segment.offset, to - from);
        }
    }
    return result;
}

}  // namespace zerosim::exec
