#include "strategy/torch/operations.hpp"
#include "strategy/torch/quantization.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Global staging buffer of a column sum [T, n] -> [n] (native/cuda/Reduce.cuh, setReduceConfig and global_memory_size): blocks of 32 x 4
/// fp32 outputs (128 threads), split over T so that all multiprocessors have work.
std::int64_t column_sum_staging(std::int64_t tokens, std::int64_t n, const DeviceKernels& device) {
    constexpr std::int64_t kOutputsPerBlock = 128, kMinimum = 1024;
    const std::int64_t blocks = device.multiprocessors * (device.threads_per_multiprocessor / 128);
    if (tokens < kMinimum || n < kOutputsPerBlock || n % 4 != 0) return 0;
    const std::int64_t split = std::max(std::min(ceil_div(blocks, ceil_div(n, kOutputsPerBlock)), ceil_div(tokens, 64)), ceil_div(tokens, 1024));
    return kOutputsPerBlock * 4 * n * split;
}

Value bias_gradient(Tape& tape, const Value& gradient) {
    Value sum = tape.make("bias_gradient", gradient.columns, 1, gradient.dtype, schedule::Role::gradient);
    const std::int64_t staged = column_sum_staging(gradient.rows, gradient.columns, tape.options.device);
    const Buffer staging = tape.scratch("column_sum_staging", staged);
    const Buffer semaphores = tape.scratch("column_sum_semaphores", staged > 0 ? 4 * ceil_div(gradient.columns, 128) : 0);   // of its blocks
    kernel::Attributes a;
    a.broadcast_rows = 1;
    a.broadcast_columns = static_cast<std::int32_t>(gradient.columns);
    tape.elementwise(kernel::EagerOperation::sum, "bias_gradient", {gradient.tensor}, sum, 1, a);
    return sum;
}

struct Shape {
    std::int64_t tokens, in, out, weight_rows, weight_columns;
    bool bias, input_major, fp8;
    [[nodiscard]] kernel::Attributes attributes() const {
        kernel::Attributes a;
        a.tokens = tokens;
        a.in = in;
        a.out = out;
        a.fp8 = fp8;
        a.input_major = input_major;
        return a;
    }
};

/// torchao float8/float8_linear.py, matmul_with_hp_or_float8_args: operands are cast for each product and dropped after it; what is saved
/// stays in the compute dtype. One byte an element.
Buffer cast_to_fp8(Tape& tape, const Shape& s, const Value& x) { return s.fp8 ? tape.scratch("fp8_operand", x.elements()) : Buffer{}; }

Value weight_gradient(Tape& tape, const Shape& s, const Value& g, const Value& x) {
    const Buffer narrow_g = cast_to_fp8(tape, s, g), narrow_x = cast_to_fp8(tape, s, x);
    Value d = tape.make("weight_gradient", s.weight_rows, s.weight_columns, g.dtype, schedule::Role::gradient);
    d.transposed = !s.input_major;
    tape.gemm_workspace();
    Buffer held;
    const TensorId room = tape.workspace(kernel::Kernel::linear_backward_weight, s.attributes(), g.dtype, held);
    tape.emit(kernel::Kernel::linear_backward_weight, "weight_gradient", {g.tensor, x.tensor, room, d.tensor, {}}, s.attributes());
    return d;
}

Value input_gradient(Tape& tape, const Shape& s, const Value& g, const Value& weight) {
    const Buffer narrow_g = cast_to_fp8(tape, s, g), narrow_weight = cast_to_fp8(tape, s, weight);
    Value d = tape.make("input_gradient", s.tokens, s.in, g.dtype);
    tape.gemm_workspace();
    Buffer held;
    const TensorId room = tape.workspace(kernel::Kernel::linear_backward_input, s.attributes(), g.dtype, held);
    tape.emit(kernel::Kernel::linear_backward_input, "input_gradient", {g.tensor, weight.tensor, room, d.tensor}, s.attributes());
    return d;
}

/// Gradients of x, weight, bias. mm: weight first; addmm: input first.
Values linear_backward(Tape& tape, const Shape& s, Node& node, const Value& g) {
    Values kept, out(3);
    for (Saved& saved : node.saved) kept.push_back(tape.engine.unpack(saved));
    const bool to_x = node.next[0] != nullptr, to_weight = node.next[1] != nullptr;
    const auto of_x = [&] {
        if (to_x) out[0] = input_gradient(tape, s, g, kept.back());
    };
    if (s.bias) of_x();
    if (to_weight) out[1] = weight_gradient(tape, s, g, kept.front());
    if (!s.bias) of_x();
    if (node.next[2]) out[2] = g;   // summed over the tokens by the engine
    return out;
}

}  // namespace

Value linear(Tape& tape, const Value& given, Parameter& weight, Parameter* bias) {
    const ModuleCall module{&weight, bias};
    Value hooked;
    const Value& input = tape.enter(module, given, hooked);
    if (is_packed(weight)) return tape.leave(module, quantized_linear(tape, input, weight, bias));
    // Arguments are cast right to left (gcc's order of evaluation in autocast's wrapper): linear(x, weight, bias), addmm(bias, x, weight).
    Value b, w, x;
    const auto cast_bias = [&] { b = bias != nullptr ? tape.use(*bias) : Value{}; };
    if (!weight.input_major) cast_bias();
    w = tape.use(weight);
    x = tape.lower(input);
    if (weight.input_major) cast_bias();
    const std::int64_t out_features = weight.input_major ? weight.columns : weight.rows;
    const Shape shape{x.rows, x.columns, out_features, weight.rows, weight.columns, bias != nullptr, weight.input_major,
                      tape.options.fp8_products && weight.layer >= 0};
    // weight.t() is a node of its own: a bias's gradient is accumulated before the weight's.
    const auto transpose = weight.input_major ? w.node : tape.engine.node({w.node});
    if (transpose && !weight.input_major) transpose->apply = [](Node&, Values& g) { return Values{g[0]}; };
    auto node = tape.engine.node({x.node, transpose, b.node});
    if (node) {
        if (w.node) node->saved.push_back(tape.engine.save(x));
        if (x.node) node->saved.push_back(tape.engine.save(w));
        node->apply = [&tape, shape](Node& n, Values& g) { return linear_backward(tape, shape, n, g[0]); };
        if (b.node) node->validate = [&tape](Node&, Values& out) { out[2] = bias_gradient(tape, out[2]); };
    }
    Value out = tape.engine.computed(true, [&] {
        const Buffer narrow_x = cast_to_fp8(tape, shape, x), narrow_weight = cast_to_fp8(tape, shape, w);
        Value y = tape.make(weight.name, x.rows, out_features, x.dtype);
        tape.gemm_workspace(bias != nullptr);
        Buffer held;
        const TensorId room = tape.workspace(kernel::Kernel::linear_forward, shape.attributes(), x.dtype, held);
        tape.emit(kernel::Kernel::linear_forward, weight.name, {x.tensor, w.tensor, b.tensor, room, y.tensor}, shape.attributes());
        return Values{std::move(y)};
    }).front();
    out.node = node;
    return tape.leave(module, std::move(out));
}

}  // namespace zerosim::strategy::torch
