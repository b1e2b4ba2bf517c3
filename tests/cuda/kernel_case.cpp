#include "cuda/kernel_case.hpp"

#include "base/rng.hpp"

#include <cstring>
#include <ostream>

namespace zerosim::device::test {
namespace {

double value_of(Content content, std::uint64_t hash, const KernelCase& test, std::int64_t index) {
    switch (content) {
        case Content::random: return 2 * unit_double(hash) - 1;
        case Content::positive: return unit_double(hash) + 0.1;
        case Content::one: return 1;
        case Content::tokens:
        case Content::targets: {
            const std::int64_t limit = content == Content::targets ? test.attributes.real_vocabulary : test.attributes.vocabulary;
            return static_cast<double>(index % 3 == 0 ? 1 : hash % static_cast<std::uint64_t>(limit));   // one token comes often
        }
        case Content::absent:
        case Content::zero: break;
    }
    return 0;
}

void store(std::byte* at, DType type, double value) {
    const auto put = [at](auto typed) { std::memcpy(at, &typed, sizeof(typed)); };
    switch (type) {
        case DType::fp32: return put(static_cast<float>(value));
        case DType::bf16: return put(float_to_bf16(static_cast<float>(value)));
        case DType::fp16: return put(float_to_fp16(static_cast<float>(value)));
        case DType::fp64: return put(value);
        case DType::int32: return put(static_cast<std::int32_t>(value));
        case DType::int64: return put(static_cast<std::int64_t>(value));
        case DType::uint8: return put(static_cast<std::uint8_t>(value));
    }
}

double load(const std::byte* at, DType type) {
    const auto get = [at](auto typed) {
        std::memcpy(&typed, at, sizeof(typed));
        return typed;
    };
    switch (type) {
        case DType::fp32: return get(float{});
        case DType::bf16: return bf16_to_float(get(std::uint16_t{}));
        case DType::fp16: return fp16_to_float(get(std::uint16_t{}));
        case DType::fp64: return get(double{});
        case DType::int32: return get(std::int32_t{});
        case DType::int64: return static_cast<double>(get(std::int64_t{}));
        case DType::uint8: return get(std::uint8_t{});
    }
    return 0;
}

std::int64_t stride_of(const Operand& operand) { return operand.row_stride == 0 ? operand.columns : operand.row_stride; }

}  // namespace

void PrintTo(const KernelCase& test, std::ostream* stream) { *stream << test.name; }

std::vector<std::vector<std::byte>> contents_of(const KernelCase& test) {
    std::vector<std::vector<std::byte>> all;
    std::uint64_t seed = 0;
    for (const char c : test.name) seed = hash64(seed, static_cast<std::uint64_t>(c));
    for (std::size_t i = 0; i < test.operands.size(); ++i) {
        const Operand& operand = test.operands[i];
        std::vector<std::byte>& bytes = all.emplace_back();
        if (operand.content == Content::absent || operand.same_as >= 0) continue;
        const std::int64_t elements = operand.offset + operand.rows * stride_of(operand);
        bytes.resize(static_cast<std::size_t>(elements * size_of(operand.dtype)));
        for (std::int64_t e = 0; e < elements; ++e)
            store(bytes.data() + e * size_of(operand.dtype), operand.dtype, value_of(operand.content, hash64(seed + i, static_cast<std::uint64_t>(e)), test, e));
    }
    return all;
}

std::vector<TensorView> views_of(const KernelCase& test, const std::vector<std::byte*>& storage) {
    std::vector<TensorView> views;
    for (std::size_t i = 0; i < test.operands.size(); ++i) {
        const Operand& operand = test.operands[i];
        std::byte* base = operand.content == Content::absent ? nullptr : storage[operand.same_as >= 0 ? static_cast<std::size_t>(operand.same_as) : i];
        if (base != nullptr) base += operand.offset * size_of(operand.dtype);
        views.push_back({base, operand.rows, operand.columns, stride_of(operand), operand.dtype});
    }
    return views;
}

std::vector<double> elements_of(const Operand& operand, const std::vector<std::byte>& bytes) {
    std::vector<double> values;
    if (bytes.empty()) return values;
    for (std::int64_t row = 0; row < operand.rows; ++row)
        for (std::int64_t column = 0; column < operand.columns; ++column)
            values.push_back(load(bytes.data() + (operand.offset + row * stride_of(operand) + column) * size_of(operand.dtype), operand.dtype));
    return values;
}

}  // namespace zerosim::device::test
