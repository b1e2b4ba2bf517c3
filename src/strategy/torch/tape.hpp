// The eager context of one rank: where tensors go, autocast and its cache, cuBLAS workspaces, the kernels emitted.
// Used by the operations and modules of strategy/torch and by the planners ddp and fsdp2.
// Decides nothing about sharding.
#pragma once

#include "strategy/scenario.hpp"
#include "strategy/torch/autograd.hpp"

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::strategy::torch {

/// A parameter as a module holds it, and the gradient that AccumulateGrad leaves in it.
struct Parameter {
    std::string_view name;                // interned: the schedule's
    int index = -1;                       // into the model's parameters; adapters: -1
    int layer = -1;
    std::int64_t rows = 0, columns = 0;   // as sharded: dimension 0 = rows; vectors have one column
    DType dtype = DType::fp32;            // of the whole parameter at compute
    bool trainable = true;
    bool input_major = false;             // Hugging Face's Conv1D: [in, out], computed with addmm
    WeightFormat format = WeightFormat::full;   // frozen matrices: packed, see quantization.hpp
    std::vector<Buffer> statistics;       // of the quantization: scales, code books
    Parameter* bias = nullptr;            // of the module whose weight this is
    Parameter *adapter_a = nullptr, *adapter_b = nullptr;   // LoRA's, of the linear layer whose weight this is
    Value value;
    Value gradient;
    Value cast;                           // autocast's 2-byte copy, while it is cached
    LayoutId layout;                      // of its elements: one segment
    std::function<void()> after_accumulate;
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
};

/// The call of a module that has parameters of its own: what DeepSpeed's stage 3 hooks.
struct ModuleCall {
    Parameter* weight = nullptr;
    Parameter* bias = nullptr;
    bool embedding = false;                // a tied table is called as an embedding and as the head
};

/// Which fused attention PyTorch has for 2-byte floats: FlashAttention-2, AMD's AOTriton, or on GPUs without either the memory-efficient kernel.
enum class FusedAttention : std::uint8_t { flash, aotriton, efficient };

/// What kernels and libraries of a device take beside their operands.
struct DeviceKernels {
    std::int64_t gemm_workspace = 32 << 20;          // cuBLAS's
    std::int64_t lt_workspace = 1 << 20;             // cuBLASLt's, of products with a bias; 0 = they use the other
    FusedAttention attention = FusedAttention::flash;
    std::int64_t multiprocessors = 132;              // H200
    std::int64_t threads_per_multiprocessor = 2048;
    bool cudnn_attention = false;                    // SDPA prefers cuDNN's kernels to FlashAttention-2
    std::int64_t cudnn_largest_head = 128;           // that they take
    int capability = 90;                             // CUDA's compute capability times ten; 0 = not CUDA
    bool early_bitsandbytes = false;                 // cluster/software.hpp
};

struct TapeOptions {
    PoolId pool;                           // of the default stream
    StreamId stream;
    bool autocast = false;                 // to `lower`
    DType lower = DType::bf16;             // or fp16
    bool fp8_products = false;             // linear layers of blocks
    DeviceKernels device{};
    bool compiled = false;                 // blocks are compiled: pointwise chains are one kernel, common casts are made once
    kernel::Library library = kernel::Library::cuda;   // host: kernels get the workspace that they need there
    int threads = 1;                       // of the compute stream, host library
};

/// Of the scenario's device and software (device_kernels.cpp); an unknown device counts as an H200 with FlashAttention.
[[nodiscard]] DeviceKernels device_kernels(const Scenario& scenario);
/// Of a tape for training with eager modules: 8-bit products, the device's kernels, compiled blocks.
[[nodiscard]] TapeOptions training_options(const Scenario& scenario, PoolId pool, StreamId stream, DType lower);
/// What checkpoints keep and how far they compute again, as the scenario asks.
void set_checkpoints(Engine& engine, const Training& training);

class Tape {
public:
    Tape(Memory& memory, const TapeOptions& options);

    [[nodiscard]] Value make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype);
    [[nodiscard]] Value make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype, schedule::Role role);
    /// All of a storage as an operand: one column is a vector, which kernels take as one row.
    [[nodiscard]] TensorId view(NameId name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns);
    [[nodiscard]] TensorId view(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns) {
        return view(program.intern(name), storage, dtype, rows, columns);
    }
    /// Scratch of one kernel, from the default pool.
    [[nodiscard]] Buffer scratch(std::string_view name, std::int64_t bytes);
    [[nodiscard]] Value like(std::string_view name, const Value& other) { return make(name, other.rows, other.columns, other.dtype); }

    void emit(kernel::Kernel kernel, std::string_view name, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes);
    /// The workspace operand of a kernel in the host library; invalid where it needs none. `held` owns it.
    [[nodiscard]] TensorId workspace(kernel::Kernel kernel, const kernel::Attributes& attributes, DType dtype, Buffer& held);
    /// Host ranks receive their peers' slices beside the data: sets `collective.scratch`, from a pool of its stream. Empty on GPUs.
    [[nodiscard]] Buffer reduction_scratch(schedule::Collective& collective, PoolId pool, std::int64_t ranks);
    /// The same bytes in another shape.
    [[nodiscard]] Value reshaped(Value value, std::int64_t rows, std::int64_t columns);
    /// An element-wise kernel that writes `out`, of `flops` for each element.
    void elementwise(std::string_view name, std::initializer_list<TensorId> sources, const Value& out, int flops = 1) {
        elementwise(kernel::EagerOperation::unspecified, name, sources, out, flops);
    }
    /// One that computes `operation`, whose further attributes are `more`. What names no operation is planned but cannot run.
    void elementwise(kernel::EagerOperation operation, std::string_view name, std::initializer_list<TensorId> sources, const Value& out, int flops = 1,
                     kernel::Attributes more = {});
    /// torch.full and the like.
    void fill(const Value& value, double number) { program.fill(options.stream, value.tensor, number); }
    void cast(const Value& from, const Value& to);

    /// What a linear layer computes with: under autocast a 2-byte copy, cached until autocast ends [cached_cast].
    [[nodiscard]] Value use(Parameter& parameter);
    /// Casts an argument of a lower-precision operation under autocast.
    [[nodiscard]] Value lower(const Value& value);
    /// Drops the cached copies, the last first [clear_autocast_cache: in the order of a hash of addresses].
    void end_autocast();

    /// cuBLAS workspaces: allocated after the output of the first GEMM of a host thread, kept for good.
    void gemm_workspace(bool bias_epilogue = false);
    /// Hooks around module calls; they may put nodes around input and output. Null: none.
    std::function<Value(const ModuleCall&, const Value&)> before_module, after_module;
    /// The input as the hook leaves it, kept in `room` if it is another.
    [[nodiscard]] const Value& enter(const ModuleCall& call, const Value& input, Value& room) const {
        if (!before_module) return input;
        return room = before_module(call, input);
    }
    [[nodiscard]] Value leave(const ModuleCall& call, Value output) const { return after_module ? after_module(call, output) : output; }
    /// The node of a parameter that requires a gradient.
    void require_gradient(Parameter& parameter);

    Memory& memory;
    schedule::ProgramBuilder& program;
    Engine engine;
    TapeOptions options;

private:
    std::array<Buffer, 2> workspaces_, lt_workspaces_;   // forward thread, autograd thread
    std::vector<Parameter*> cast_;         // parameters with a cached copy
    TensorId last_source_;                 // compiled: what `lower` cast last, and its result
    Value last_lowered_;
};

}  // namespace zerosim::strategy::torch
