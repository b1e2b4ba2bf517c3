// What all stages of DeepSpeed's engine share: streams and pools, the process group, parameter groups, norms and clipping of a step.
// Used by the stages (replicated, partitioned_gradients, sharded_parameters).
// Partitions nothing. Source: DeepSpeed 0.19 runtime/engine.py and torch.distributed's ProcessGroupNCCL.
#pragma once

#include "schedule/builder.hpp"
#include "strategy/scenario.hpp"
#include "strategy/torch/language_model.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace zerosim::strategy::deepspeed {

using schedule::Role;
using torch::Buffer;
using torch::Parameter;
using torch::Tape;
using torch::Value;

[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// DeepSpeed's streams: computation, all-gather, reduction (the default stream without overlap_comm), and the one stream on which a
/// process group runs its collectives, gathers and reductions alike.
struct Streams {
    StreamId compute, gather, reduce, collectives, host;
    PoolId compute_pool, gather_pool, reduce_pool, pinned_pool, nvme_pool;
};
[[nodiscard]] Streams declare_streams(schedule::ProgramBuilder& program, bool gather_apart, bool reduce_apart);

/// An optimizer's parameter group, as the Hugging Face Trainer makes them: matrices decay, vectors do not.
struct Group {
    std::vector<Parameter*> parameters;
    bool decays = false;
};

class Engine {
public:
    Engine(Tape& tape, schedule::Schedule& schedule, const Scenario& scenario, const Streams& streams, std::int64_t rank);
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    [[nodiscard]] bool offloads_optimizer() const { return scenario.strategy.optimizer_at != Placement::device; }
    [[nodiscard]] std::vector<Group> groups(torch::LanguageModel& model) const;
    [[nodiscard]] PoolId pool_of(StreamId stream) const {
        return stream == streams.compute ? streams.compute_pool : stream == streams.gather ? streams.gather_pool : streams.reduce_pool;
    }

    /// A collective of the process group, after what `from` has been given; `waits` = the call is synchronous: `from` waits for it.
    OpId collective(CollectiveKind kind, std::string_view name, StreamId from, TensorId send, TensorId receive, bool waits = true,
                    bool scalar = false);
    /// tensor.div_(ranks): one pass over it.
    void divide_by_ranks(StreamId stream, TensorId tensor);
    /// A tensor of its own from the pool of `stream`.
    [[nodiscard]] Value make(StreamId stream, std::string_view name, std::int64_t elements, DType dtype, Role role);
    /// Memory outside of the device: a pinned or pageable block, or a file.
    [[nodiscard]] Value make_on_host(std::string_view name, std::int64_t elements, DType dtype, Role role, bool pinned);
    [[nodiscard]] Value make_on_nvme(std::string_view name, std::int64_t elements, DType dtype, Role role);
    /// tensor.copy_(source) over the host link. The host waits for it where one end is pageable (cudaMemcpyAsync returns when the bytes are
    /// copied or staged: CUDA runtime API, "API synchronization behavior"), and for a copy without non_blocking.
    void copy_over_link(StreamId stream, TensorId source, TensorId destination, bool blocking = false);
    [[nodiscard]] schedule::Space space_of(TensorId tensor) const { return program.at(program.at(tensor).storage).space; }
    /// `count` elements of `tensor` from `begin` on, as one row.
    [[nodiscard]] TensorId part(std::string_view name, TensorId tensor, std::int64_t begin, std::int64_t count);
    /// The same under the tensor's own name.
    [[nodiscard]] TensorId slice(TensorId tensor, std::int64_t begin, std::int64_t count);
    /// A parameter's shape, `begin` elements into a flat tensor.
    [[nodiscard]] TensorId shaped(const Parameter& parameter, TensorId flat, std::int64_t begin = 0);

    /// A parameter that lies whole on the device, in a storage of its own: frozen ones, and all of stage 0 in fp32.
    void place_whole(Parameter& parameter);

    /// [_has_inf_or_nan] of each gradient, and the flag's all-reduce; the host reads it.
    void check_overflow(const std::vector<TensorId>& gradients);
    /// [get_grad_norm_direct]: `.double()` of each gradient, its norm, and the sum of squares over the ranks, which stays until `clip`.
    void add_norm(const std::vector<TensorId>& gradients, const std::vector<schedule::ShardRange>& ranges, bool over_ranks);
    /// Offloaded optimizer: x.float(), isnan, isinf, logical_or and their .float(), 11 bytes an element beside the gradient.
    void overflow_room(StreamId stream, TensorId gradient);
    /// ... the norm of a gradient that leaves the device; at most `most` of them a step.
    void keep_norm(StreamId stream, TensorId gradient, schedule::ShardRange range, std::int64_t most);
    /// [complete_grad_norm_calculation_for_cpu_offload]: their sum over the ranks, read back.
    void add_kept_norms();
    /// [unscale_and_clip_grads] of a gradient on the host.
    void clip_on_host(TensorId gradient);
    /// [unscale_and_clip_grads] fp32 gradients in place.
    void clip(TensorId gradient);
    void end_norms();
    /// All streams' work is done before the host goes on.
    void end_step();
    /// FusedAdam on flat tensors {parameter, m, v, gradient}: element ranges of layouts that lie in them one after another.
    void update(std::string_view name, const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges);
    void update_tensors(std::string_view name, const std::vector<std::array<TensorId, 4>>& tensors, const std::vector<schedule::ShardRange>& ranges);
    /// DeepSpeedCPUAdam; the Python thread waits for it.
    void update_on_host(std::string_view name, const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges);
    /// Parameters end to end.
    [[nodiscard]] LayoutId flat_layout(std::string_view name, const std::vector<Parameter*>& parameters, std::int64_t padded, bool decays);
    /// This rank's `shard` elements of a layout.
    [[nodiscard]] schedule::ShardRange shard_range(LayoutId layout, std::int64_t shard) const {
        return {layout, {0, ranks > 1 ? shard : 0, data}, shard};
    }
    [[nodiscard]] static schedule::ShardRange whole_range(LayoutId layout, std::int64_t elements) { return {layout, {0, 0, AxisId{0}}, elements}; }
    /// A parameter of its own with its initial values, as the module is built.
    [[nodiscard]] Value build(Parameter& parameter);

    Tape& tape;
    schedule::ProgramBuilder& program;
    schedule::Schedule& schedule;
    const Scenario& scenario;
    const DeepSpeedOptions& options;
    const Streams streams;
    const std::int64_t ranks, rank;
    const AxisId data{0};
    const DType compute_dtype;
    const bool overlap;

private:
    OpId emit_update(StreamId stream, schedule::OpKind kind, std::string_view name, const std::vector<std::array<TensorId, 4>>& tensors,
                     const std::vector<schedule::ShardRange>& ranges);
    [[nodiscard]] std::vector<std::array<TensorId, 4>> pieces(const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges);
    [[nodiscard]] Value make_in(std::string_view name, std::int64_t elements, DType dtype, Role role, PoolId pool, schedule::Space space);
    std::vector<Value> whole_; // parameters that lie alone
    void norm_of(StreamId stream, TensorId gradient, schedule::ShardRange range, TensorId norm);
    void sum_squares(TensorId norms, bool over_ranks);
    void make_factor();
    std::vector<Value> norms_; // sums of squares of groups
    Value factor_, host_factor_, kept_norms_;
    std::int64_t kept_count_ = 0;
};

} // namespace zerosim::strategy::deepspeed
