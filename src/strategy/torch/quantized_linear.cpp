// Sources: bitsandbytes autograd/_functions.py (MatMul4Bit, MatMul8bitLt of 0.45; 0.41 where software says so) and functional.py (dequantize_4bit);
// torchao dtypes/nf4tensor.py (LinearNF4 keeps the packed weight alone); AutoGPTQ nn_modules/qlinear/qlinear_cuda_old.py (the path of trainable QuantLinear, Transformers' with disable_exllama).
#include "strategy/torch/operations.hpp"
#include "strategy/torch/quantization.hpp"

namespace zerosim::strategy::torch {
namespace {

kernel::Attributes attributes_of(std::int64_t tokens, const Parameter& weight) {
    kernel::Attributes a;
    a.tokens = tokens;
    a.in = weight.columns;
    a.out = weight.rows;
    return a;
}

/// A product that reads the packed weight itself. Its operand is a vector of bytes, so the kernel is the one that only planning knows.
void direct_product(Tape& tape, std::string_view name, const Value& x, const Parameter& weight, const Value& out, kernel::Attributes a) {
    a.batch = 1;
    tape.gemm_workspace();
    tape.emit(kernel::Kernel::batched_product, name, {x.tensor, weight.value.tensor, out.tensor}, a);
}

/// torchao's NF4Tensor.get_original_weight, whose locals live until it returns: indices of both halves in int64, their values, the scaled ones.
Value widen_torchao(Tape& tape, const Parameter& w, DType dtype) {
    const std::int64_t half = w.elements() / 2, width = size_of(dtype);
    std::vector<Buffer> locals;
    if (!tape.options.compiled) {   // compiled it is one kernel
        for (const char* name : {"first_indices", "second_indices"}) locals.push_back(tape.scratch(name, 8 * half));
        for (const char* name : {"first_values", "second_values", "first_scaled", "second_scaled"}) locals.push_back(tape.scratch(name, width * half));
    }
    Value whole = tape.make("widened_weight", w.rows, w.columns, dtype);
    tape.elementwise("dequantize", {w.value.tensor}, whole, 2);
    return whole;
}

/// The weight in `dtype`. NF4: one output, nested absmax widened first. int8: a cast, scaled in place. int4: unpacked by shifts of int32.
Value widen(Tape& tape, const Parameter& w, DType dtype) {
    if (w.format == WeightFormat::nf4_torchao) return widen_torchao(tape, w, dtype);
    const std::int64_t n = w.elements();
    Buffer absmax;
    if (w.format == WeightFormat::nf4_double) absmax = tape.scratch("absmax_widened", 4 * ((n + 63) / 64));
    if (w.format == WeightFormat::int4) {
        Buffer narrow;
        {
            const Buffer shifted = tape.scratch("shifted", 4 * n);   // bitwise_right_shift of expanded int32
            narrow = tape.scratch("unpacked", n);                    // .to(int8)
        }
        const Buffer masked = tape.scratch("masked", n);
        narrow.reset();
        const Buffer centred = tape.scratch("weight_minus_zeros", n);
        Value whole = tape.make("widened_weight", w.rows, w.columns, dtype);
        tape.elementwise("dequantize", {w.value.tensor}, whole, 2);
        return whole;
    }
    const bool through_half = tape.options.device.early_bitsandbytes && dtype != DType::fp16;   // dequantize_4bit(B).to(A.dtype)
    Value whole = tape.make("widened_weight", w.rows, w.columns, through_half ? DType::fp16 : dtype);
    tape.elementwise("dequantize", {w.value.tensor}, whole, 2);
    return through_half ? to(tape, whole, dtype) : whole;
}

/// LLM.int8: the input in 8 bits with a scale for each row, the product in int32, then fp16, then the input's dtype. Outlier columns
/// (above the threshold of 6) depend on values and are not counted.
Value int8_product(Tape& tape, const Value& x, const Parameter& w) {
    Value half = x.dtype == DType::fp16 ? Value{} : tape.make("cast", x.rows, x.columns, DType::fp16);
    const Buffer narrow = tape.scratch("quantized_input", x.elements()), scales = tape.scratch("input_scales", 4 * x.rows);
    half = {};
    const Buffer product = tape.scratch("int32_product", 4 * x.rows * w.rows);
    Value y = tape.make(w.name, x.rows, w.rows, DType::fp16);
    direct_product(tape, w.name, x, w, y, attributes_of(x.rows, w));
    return x.dtype == DType::fp16 ? y : to(tape, y, x.dtype);
}

Value input_gradient(Tape& tape, const Value& g, const Value& whole, const kernel::Attributes& a) {
    Value d = tape.make("input_gradient", g.rows, a.in, g.dtype);
    tape.gemm_workspace();
    tape.emit(kernel::Kernel::linear_backward_input, "input_gradient", {g.tensor, whole.tensor, {}, d.tensor}, a);
    return d;
}

}  // namespace

Value quantized_linear(Tape& tape, const Value& input, Parameter& weight, Parameter* bias) {
    const Value x = tape.lower(input);
    const Value b = bias != nullptr ? tape.use(*bias).detach() : Value{};
    const kernel::Attributes attributes = attributes_of(x.rows, weight);
    auto node = tape.engine.node({x.node});
    const bool keeps_weight = weight.format == WeightFormat::int4, sparse = weight.format == WeightFormat::full;
    Value whole;
    if (keeps_weight) whole = widen(tape, weight, x.dtype);   // an operation of its own: a selective checkpoint computes it again
    Value out = tape.engine.computed(true, [&] {
        if (weight.format == WeightFormat::int8) return Values{int8_product(tape, x, weight)};
        if (sparse) {
            Value y = tape.make(weight.name, x.rows, weight.rows, x.dtype);
            direct_product(tape, weight.name, x, weight, y, attributes);
            return Values{std::move(y)};
        }
        if (!keeps_weight) whole = widen(tape, weight, x.dtype);
        Value y = tape.make(weight.name, x.rows, weight.rows, x.dtype);
        tape.gemm_workspace(b.defined());
        tape.emit(kernel::Kernel::linear_forward, weight.name, {x.tensor, whole.tensor, b.tensor, {}, y.tensor}, attributes);
        return Values{std::move(y)};
    }).front();
    if (node) {
        node->slots = {x.output};
        if (keeps_weight) node->saved.push_back(tape.engine.save(whole));
        const bool nf4 = weight.format == WeightFormat::nf4 || weight.format == WeightFormat::nf4_double;
        if (nf4 && tape.options.device.early_bitsandbytes) node->saved.push_back(tape.engine.save(x));   // ctx.tensors = (A, B)
        if (weight.format == WeightFormat::int8) node->saved.push_back(tape.engine.save(x));   // ctx.tensors = (CAt, subA, A)
        node->apply = [&tape, &weight, attributes, keeps_weight, sparse](Node& n, Values& g) {
            if (sparse) {
                Value d = tape.make("input_gradient", g[0].rows, attributes.in, g[0].dtype);
                direct_product(tape, "input_gradient", g[0], weight, d, attributes);
                return Values{std::move(d)};
            }
            const Value kept = n.saved.empty() ? Value{} : tape.engine.unpack(n.saved[0]);
            const Value w = keeps_weight ? kept : widen(tape, weight, g[0].dtype);
            return Values{input_gradient(tape, g[0], w, attributes)};
        };
    }
    out.node = node;
    return out;
}

}  // namespace zerosim::strategy::torch
