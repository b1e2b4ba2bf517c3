// The eager context of one rank: where tensors go, autocast and its cache, cuBLAS workspaces, the kernels emitted.
// Used by the operations and modules of strategy/torch and by the planners ddp and fsdp2.
// Decides nothing about sharding.
#pragma once

#include "strategy/torch/autograd.hpp"

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace zerosim::strategy::torch {

/// A parameter as a module holds it, and the gradient that AccumulateGrad leaves in it.
struct Parameter {
    std::string name;
    int index = -1;                       // into the model's parameters; adapters: -1
    int layer = -1;
    std::int64_t rows = 0, columns = 0;   // as sharded: dimension 0 = rows; vectors have one column
    DType dtype = DType::fp32;            // of the whole parameter at compute
    bool trainable = true;
    bool input_major = false;             // Hugging Face's Conv1D: [in, out], computed with addmm
    Value value;
    Value gradient;
    std::function<void()> after_accumulate;
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
};

struct TapeOptions {
    PoolId pool;                           // of the default stream
    StreamId stream;
    bool autocast = false;                 // to bf16
    bool fp8_products = false;             // linear layers of blocks
};

class Tape {
public:
    Tape(Memory& memory, const TapeOptions& options);

    [[nodiscard]] Value make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype);
    [[nodiscard]] Value make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype, schedule::Role role);
    /// All of a storage as an operand: one column is a vector, which kernels take as one row.
    [[nodiscard]] TensorId view(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns);
    /// Scratch of one kernel, from the default pool.
    [[nodiscard]] Buffer scratch(std::string_view name, std::int64_t bytes);
    [[nodiscard]] Value like(std::string_view name, const Value& other) { return make(name, other.rows, other.columns, other.dtype); }

    void emit(kernel::Kernel kernel, std::string_view name, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes);
    /// An element-wise kernel that writes `out`, of `flops` for each element.
    void elementwise(std::string_view name, std::initializer_list<TensorId> sources, const Value& out, int flops = 1);
    void cast(const Value& from, const Value& to);

    /// What a linear layer computes with: under autocast a bf16 copy, cached until autocast ends [cached_cast].
    [[nodiscard]] Value use(Parameter& parameter);
    /// Casts an argument of a lower-precision operation under autocast.
    [[nodiscard]] Value lower(const Value& value);
    void end_autocast() { casts_.clear(); }

    /// cuBLAS workspaces: allocated after the output of the first GEMM of a host thread, kept for good.
    void gemm_workspace(bool bias_epilogue = false);
    /// The node of a parameter that requires a gradient.
    void require_gradient(Parameter& parameter);

    Memory& memory;
    schedule::ProgramBuilder& program;
    Engine engine;
    TapeOptions options;

private:
    std::array<Buffer, 2> workspaces_, lt_workspaces_;   // forward thread, autograd thread
    std::unordered_map<const Parameter*, Value> casts_;
};

}  // namespace zerosim::strategy::torch
