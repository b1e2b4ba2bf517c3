#include "strategy/torch/quantization.hpp"

#include <cmath>

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// bitsandbytes quantize_4bit: blocks of 64, one fp32 absmax each; a code book of 16 fp32. Nested: the absmax in 8 bits, in blocks of 256
// with an fp32 absmax each, and their mean as a scalar.
constexpr std::int64_t kNf4Block = 64, kNestedBlock = 256, kCodeBook = 16 * 4;
// torchao's NF4Tensor has the same blocks; its 8-bit scalers have 2-byte factors, and code book and mean are 2-byte too.
// GPTQ (and AWQ) as published: groups of 128 inputs share a 2-byte scale and a 4-bit zero.
constexpr std::int64_t kGroup = 128;

}  // namespace

std::vector<PackedPart> packed_parts(WeightFormat format, std::int64_t rows, std::int64_t columns) {
    const std::int64_t n = rows * columns, blocks = ceil_div(n, kNf4Block);
    switch (format) {
        case WeightFormat::full: break;
        case WeightFormat::nf4: return {{"nf4", ceil_div(n, 2)}, {"absmax", 4 * blocks}, {"code", kCodeBook}};
        case WeightFormat::nf4_double:
            return {{"nf4", ceil_div(n, 2)}, {"absmax", blocks}, {"code", kCodeBook}, {"nested_absmax", 4 * ceil_div(blocks, kNestedBlock)}, {"offset", 4}};
        case WeightFormat::nf4_torchao:
            return {{"nf4", ceil_div(n, 2)}, {"scalers", blocks}, {"scaler_factors", 2 * ceil_div(blocks, kNestedBlock)}, {"code", kCodeBook / 2}, {"scaler_mean", 2}};
        case WeightFormat::int8: return {{"int8", n}, {"row_scales", 4 * rows}};
        case WeightFormat::int4: {
            const std::int64_t groups = ceil_div(columns, kGroup);
            return {{"int4", ceil_div(n, 2)}, {"zeros", ceil_div(groups * rows, 2)}, {"scales", 2 * groups * rows}, {"group_index", 4 * columns}};
        }
    }
    return {};
}

std::size_t sharded_parts(WeightFormat format) { return format == WeightFormat::nf4_torchao ? 3 : 1; }

std::int64_t stored_bytes(const Parameter& p, double density) {
    const std::int64_t elements = p.elements();
    const std::int64_t whole = p.format == WeightFormat::full ? elements * size_of(p.dtype) : packed_parts(p.format, p.rows, p.columns).front().bytes;
    if (density >= 1 || p.trainable || p.columns == 1 || p.layer < 0) return whole;
    return static_cast<std::int64_t>(std::ceil(static_cast<double>(whole) * density)) + ceil_div(elements, 8);
}

bool packs(const Parameter& p, double density) { return p.format != WeightFormat::full || stored_bytes(p, density) != p.elements() * size_of(p.dtype); }

void place_packed(Tape& tape, Parameter& p, double density) {
    tape.program.tags.layer = static_cast<std::int16_t>(p.layer);
    const std::int64_t bytes = stored_bytes(p, density);
    const auto parts = packed_parts(p.format, p.rows, p.columns);
    p.statistics.push_back(tape.memory.allocate(p.name, bytes, tape.options.pool, schedule::Role::parameter));
    p.value.tensor = tape.program.tensor(p.name, p.statistics.front().storage(), DType::uint8, 1, bytes);
    tape.program.at(p.value.tensor).parameter = p.index;
    tape.program.fill(tape.options.stream, p.value.tensor, 0);   // values come from a checkpoint
    for (std::size_t i = 1; i < parts.size(); ++i) p.statistics.push_back(tape.memory.allocate(parts[i].name, parts[i].bytes, tape.options.pool, schedule::Role::parameter));
    p.value.dtype = DType::uint8;
    p.value.rows = p.rows;
    p.value.columns = p.columns;
    tape.program.tags.layer = -1;
}

}  // namespace zerosim::strategy::torch
