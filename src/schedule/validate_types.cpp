#include "schedule/validate_types.hpp"

#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <optional>

namespace zerosim::schedule {
namespace {

using kernel::Attributes;
using kernel::Kernel;

/// What executors and reports know. The others are benchmarks'.
bool in_schedules(CollectiveKind kind) {
    using enum CollectiveKind;
    return kind == all_reduce || kind == all_gather || kind == reduce_scatter || kind == broadcast || kind == all_to_all;
}

struct Shape {
    std::int64_t rows, columns;
};

/// Expected shapes of a kernel's operands, in the order of kernel.hpp; empty where any shape is right.
std::vector<std::optional<Shape>> expected_shapes(Kernel kernel, const Attributes& a) {
    const Shape x{a.tokens, a.in}, y{a.tokens, a.out}, tokens{1, a.tokens}, width{1, a.out};
    const Shape weight = a.input_major ? Shape{a.in, a.out} : Shape{a.out, a.in};
    const std::int64_t value_dim = a.value_dim > 0 ? a.value_dim : a.head_dim, keys = a.keys > 0 ? std::int64_t{a.keys} * a.batch : a.tokens;
    const Shape q{a.tokens, std::int64_t{a.heads} * a.head_dim}, kv{keys, std::int64_t{a.kv_heads} * a.head_dim};
    const Shape attended{a.tokens, a.heads * value_dim};
    // Values of their own width may be a part of each head's projection: a tall view.
    const auto values = a.value_dim > 0 ? std::optional<Shape>() : std::optional<Shape>({keys, a.kv_heads * value_dim});
    const Shape lse{a.tokens, a.heads}, table{a.vocabulary, a.out}, logits{a.tokens, a.vocabulary}, one{1, 1};
    const std::optional<Shape> any;
    switch (kernel) {
        case Kernel::embedding_forward: return {tokens, table, any, y};
        case Kernel::embedding_backward: return {tokens, y, table, any};
        case Kernel::layer_norm_forward: return {y, width, width, y, tokens, tokens};
        case Kernel::layer_norm_backward: return {y, y, width, tokens, tokens, y, width, width};
        case Kernel::rms_norm_forward: return {y, width, y, tokens};
        case Kernel::rms_norm_backward: return {y, y, width, tokens, y, width};
        case Kernel::linear_forward: return {x, weight, width, any, y};
        case Kernel::linear_backward_input: return {y, weight, any, x};
        case Kernel::linear_backward_weight: return {y, x, any, weight, width};
        case Kernel::attention_forward: return {q, kv, values, any, attended, lse};
        case Kernel::attention_backward: return {attended, q, kv, values, attended, lse, any, q, kv, values};
        case Kernel::rotary_forward:
        case Kernel::rotary_backward: return {q, kv};
        case Kernel::gelu_forward: return {y, y};
        case Kernel::gelu_backward:
        case Kernel::swiglu_forward:
        case Kernel::add: return {y, y, y};
        case Kernel::swiglu_backward: return {y, y, y, y, y};
        case Kernel::dropout: return {y, y};
        case Kernel::cross_entropy_forward: return {logits, tokens, tokens, one};
        case Kernel::cross_entropy_backward: return {logits, tokens, tokens, one, logits};
        case Kernel::squared_norm: return {any, Shape{1, kernel::kNormBins}};
        case Kernel::gradient_scale: return {Shape{1, kernel::kNormBins}, one, one, one, one, one};
        case Kernel::loss_scale_update: return {one, one, one};
        case Kernel::elementwise: return {any, any, any, y};
        case Kernel::norm_tensors:
        case Kernel::scale_tensors: return {any, one};
        case Kernel::adamw_tensors: return {any, any, any, any, one};
        case Kernel::sgd_tensors: return {any, any, any};
        case Kernel::adamw: {
            const Shape shard{1, a.tokens};
            return {shard, shard, shard, shard, shard, one, one, one};
        }
        case Kernel::batched_product:   // of any shapes that its attributes' sizes have
        case Kernel::count_: break;
    }
    return {};
}

/// One column may be written as a vector, which is one row.
bool has_shape(const Tensor& tensor, const Shape& shape) {
    return (tensor.rows == shape.rows && tensor.columns == shape.columns) || (shape.columns == 1 && tensor.rows == 1 && tensor.columns == shape.rows);
}

class TypeChecker {
public:
    TypeChecker(const Schedule& schedule, const Program& program, std::int64_t rank, std::vector<Violation>& violations)
        : schedule_(schedule), program_(program), rank_(rank), violations_(violations) {}

    void run() {
        check_tensors();
        for (std::size_t i = 0; i < program_.ops.size(); ++i) check_op(OpId{i});
    }

private:
    void fail(OpId op, std::string what) { violations_.push_back({rank_, op, std::move(what)}); }

    void check_tensors() {
        for (std::size_t i = 0; i < program_.tensors.size(); ++i) {
            const Tensor& tensor = program_.tensors[i];
            const std::int64_t offset = tensor.offset.at(schedule_.coordinate(tensor.offset, rank_));
            const Storage& storage = program_.storage(tensor.storage);
            if (offset < 0 || offset + tensor.extent_bytes() > storage.bytes)
                fail({}, fmt::format("tensor {} lies at bytes [{}, {}) of a storage of {}", describe(schedule_, program_, TensorId{i}), offset,
                                     offset + tensor.extent_bytes(), storage.bytes));
            if (offset % size_of(tensor.dtype) != 0)
                fail({}, fmt::format("tensor {} starts at byte {}, not a multiple of its element size", describe(schedule_, program_, TensorId{i}), offset));
        }
    }

    void check_op(OpId id) {
        const Op& op = program_.op(id);
        if (op.stream.index() >= program_.streams.size()) return fail(id, "runs on an undeclared stream");
        for (const OpId dep : program_.deps_of(op))
            if (dep >= id) fail(id, fmt::format("depends on op {}, which comes later", dep.value));
        if (op.kind == OpKind::collective) return check_collective(id, op);
        if (op.kind == OpKind::compute || op.kind == OpKind::optimizer) return check_kernel(id, op);
        if (op.kind == OpKind::copy) check_copy(id, op);
    }

    void check_copy(OpId id, const Op& op) {
        const auto operands = program_.operands_of(op);
        if (operands.size() < 2 || operands.size() % 2 != 0) return fail(id, "a copy takes pairs of source and destination");
        for (std::size_t i = 0; i < operands.size(); i += 2)
            if (program_.tensor(operands[i]).elements() != program_.tensor(operands[i + 1]).elements())
                fail(id, fmt::format("copies {} into {}: sizes differ", describe(schedule_, program_, operands[i]), describe(schedule_, program_, operands[i + 1])));
    }

    void check_kernel(OpId id, const Op& op) {
        const auto specs = kernel::operands(op.kernel);
        const auto operands = program_.operands_of(op);
        const bool groups = kernel::is_multi_tensor(op.kernel);
        if (groups) check_groups(id, op, operands);
        if (groups ? operands.empty() || operands.size() % specs.size() != 0 : operands.size() != specs.size())
            return fail(id, fmt::format("{} takes {} operands, not {}", kernel::name(op.kernel), specs.size(), operands.size()));
        const auto shapes = expected_shapes(op.kernel, program_.attributes_of(op));
        for (std::size_t i = 0; i < operands.size(); ++i) {
            const std::size_t k = i % specs.size();
            if (!operands[i].valid()) {
                if (!specs[k].optional) fail(id, fmt::format("{}: operand {} is missing", kernel::name(op.kernel), specs[k].name));
                continue;
            }
            const Tensor& tensor = program_.tensor(operands[i]);
            if (k < shapes.size() && shapes[k] && !has_shape(tensor, *shapes[k]))
                fail(id, fmt::format("{}: operand {} is {}, but should be [{},{}]", kernel::name(op.kernel), specs[k].name,
                                     describe(schedule_, program_, operands[i]), shapes[k]->rows, shapes[k]->columns));
        }
        if (((op.kind == OpKind::optimizer && !groups) || op.kernel == Kernel::squared_norm) && op.range >= program_.ranges.size())
            fail(id, fmt::format("{} has no shard range", kernel::name(op.kernel)));
    }

    /// Tensors of a group are equally large, and each group of an optimizer has its range.
    void check_groups(OpId id, const Op& op, std::span<const TensorId> operands) {
        const std::size_t size = kernel::operands(op.kernel).size();
        const bool updates = op.kernel == Kernel::adamw_tensors || op.kernel == Kernel::sgd_tensors;
        for (std::size_t i = 0; updates && i + size <= operands.size(); i += size)
            for (std::size_t k = 1; k < (op.kernel == Kernel::adamw_tensors ? size - 1 : size); ++k)
                if (operands[i].valid() && operands[i + k].valid() && program_.tensor(operands[i]).elements() != program_.tensor(operands[i + k]).elements())
                    fail(id, fmt::format("{}: {} and {} differ in size", kernel::name(op.kernel), describe(schedule_, program_, operands[i]),
                                         describe(schedule_, program_, operands[i + k])));
        if (updates && (op.range == ~0u || op.range + operands.size() / size > program_.ranges.size()))
            fail(id, fmt::format("{}: a group has no shard range", kernel::name(op.kernel)));
    }

    void check_collective(OpId id, const Op& op) {
        const Collective& c = program_.collective_of(op);
        if (!in_schedules(c.kind)) return fail(id, fmt::format("{} is a benchmark's; schedules have no such collective", zerosim::name(c.kind)));
        if (!c.axis.valid() || c.axis.index() >= schedule_.axes.size()) return fail(id, "collective on an undeclared axis");
        const std::int64_t n = schedule_.axis(c.axis).size;
        if (!c.send.valid() || !c.receive.valid()) return fail(id, "collective without send or receive");
        const Tensor &send = program_.tensor(c.send), &receive = program_.tensor(c.receive);
        if (send.dtype != receive.dtype) fail(id, "collective whose send and receive differ in dtype");
        if (!send.contiguous() || !receive.contiguous()) fail(id, "collective on a strided view");
        const bool right = c.kind == CollectiveKind::all_gather       ? receive.elements() == n * send.elements()
                           : c.kind == CollectiveKind::reduce_scatter ? send.elements() == n * receive.elements()
                                                                      : send.elements() == receive.elements();
        if (!right)
            fail(id, fmt::format("{} of {} into {} among {} ranks: sizes do not fit", zerosim::name(c.kind), describe(schedule_, program_, c.send),
                                 describe(schedule_, program_, c.receive), n));
        if (is_reduction(c.kind) != (c.reduction != Reduction::none)) fail(id, fmt::format("{} with the wrong reduction", zerosim::name(c.kind)));
    }

    const Schedule& schedule_;
    const Program& program_;
    std::int64_t rank_;
    std::vector<Violation>& violations_;
};

}  // namespace

void validate_types(const Schedule& schedule, const Program& program, std::int64_t rank, std::vector<Violation>& violations) {
    TypeChecker(schedule, program, rank, violations).run();
}

}  // namespace zerosim::schedule
