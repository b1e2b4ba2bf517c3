// Megatron-LM's contiguous parameter and gradient buffers: layout in reversed module order, buckets, their collectives.
// Built by the planner of `megatron`; its modules ask it where a weight's gradient is added.
// Knows no module and no optimizer.
// Source: megatron/core/distributed/{param_and_grad_buffer,distributed_data_parallel}.py.
#pragma once

#include "strategy/torch/tape.hpp"

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

namespace zerosim::strategy::megatron {

using torch::Buffer;
using torch::Parameter;
using torch::Tape;
using torch::Value;

struct Layout {
    bool distributed_optimizer = true;    // stage 1: parameters in a buffer, gradients reduce-scattered
    bool overlap = true;                  // overlap_grad_reduce, overlap_param_gather
    std::int64_t bucket_elements = 0;     // 0 = one bucket
    DType parameter_dtype = DType::bf16, gradient_dtype = DType::fp32;
    std::int64_t shard_ranks = 1, replicas = 1;   // num_distributed_optimizer_instances = replicas
    AxisId shard, replicate;
    StreamId compute, communication, replicate_communication;
    PoolId pool, communication_pool, replicate_pool;
    bool one_rank = false;                // the program is that of the rank with `coordinate`; else rank 0's stands for all
    std::int64_t coordinate = 0;
};

/// Elements [begin, end) of the buffers, padding included.
struct Bucket {
    std::int64_t begin = 0, end = 0;
    std::vector<Parameter*> parameters;
    TensorId parameter_data, parameter_shard, gradient_data, gradient_shard;
    std::size_t ready = 0;
    bool gather_dispatched = true;   // the first step reads what initialization wrote
    OpId reduced, gathered;
};

/// Part of a parameter that this rank updates.
struct OwnedPart {
    Parameter* parameter = nullptr;
    std::int64_t elements = 0;
    TensorId value, gradient;
    schedule::ShardRange range;          // none where the program stands for ranks that own other parts
};

class Buffers {
public:
    Buffers(Tape& tape, const Layout& layout, const std::vector<Parameter*>& module_order);

    /// Init: modules make their parameters, which move into the buffer.
    void allocate();
    void zero_gradients();
    /// A weight's gradient, to be added into by its product.
    [[nodiscard]] const Value& main_gradient(const Parameter& p) const { return places_.at(&p).main_gradient; }
    /// Products have added to it: what autograd returns is a placeholder.
    /// `zeros`: the placeholder will carry another use's gradient, which is added as well.
    void added_to_main_gradient(const Parameter& p, bool zeros) { places_.at(&p).added = !zeros; }
    /// get_dummy_wgrad: kept for each shape.
    [[nodiscard]] Value placeholder(const Parameter& p);

    void begin_micro_batch(bool last);
    void finish_reduction();
    /// Without overlap, after the optimizer's step.
    void gather_parameters();
    /// With overlap, before a module reads its parameters: waits for their bucket's gather and starts the next one's.
    void before_use(const Parameter& p);
    /// From the first optimizer step on, forward begins with gathers.
    void expect_gathers();

    [[nodiscard]] std::vector<OwnedPart> owned() const;
    [[nodiscard]] std::int64_t elements() const { return buckets_.empty() ? 0 : buckets_.back().end; }
    [[nodiscard]] const std::vector<Bucket>& buckets() const { return buckets_; }

private:
    struct Place {
        std::int64_t offset = 0;
        std::size_t bucket = 0;
        Value main_gradient;
        bool added = false;
    };
    void lay_out(const std::vector<Parameter*>& module_order);
    void declare(Parameter& p, Place& place);
    void declare(Bucket& bucket);
    [[nodiscard]] TensorId slice(const Bucket& bucket, StorageId storage, DType dtype) const;
    void initialize(const Parameter& p, TensorId tensor);
    void gradient_ready(Parameter& p);
    void reduce(Bucket& bucket);
    OpId collective(StreamId stream, PoolId pool, const char* name, schedule::Collective collective, std::int64_t ranks);
    void gather(Bucket& bucket);

    Tape& tape_;
    Layout layout_;
    std::vector<Bucket> buckets_;
    std::unordered_map<const Parameter*, Place> places_;
    std::vector<Parameter*> module_order_;
    StorageId parameter_storage_, gradient_storage_;
    std::map<std::pair<std::int64_t, std::int64_t>, Value> placeholders_;
    bool last_ = false;
};

}  // namespace zerosim::strategy::megatron
