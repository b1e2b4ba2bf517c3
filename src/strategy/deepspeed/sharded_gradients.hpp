// ZeRO stage 3: gradients move into the permanent IPG bucket as they become ready; a full bucket is reduce-scattered and added to the shards.
// Driven by ShardedOptimizer's hooks; takes no step and gathers nothing.
// Source: DeepSpeed runtime/zero/stage3.py and runtime/comm/coalesced_collectives.py.
#pragma once

#include "strategy/deepspeed/sharded_parameters.hpp"

#include <deque>

namespace zerosim::strategy::deepspeed {

class ShardedGradients {
public:
    ShardedGradients(Engine& engine, ShardedParameters& parameters) : engine_(engine), parameters_(parameters) {}

    /// The bucket and the shards' flat buffer, in the order of `order`.
    void initialize(const std::vector<ShardedParameter*>& order);
    void begin_micro_batch(int index, bool last);
    void add(Parameter& parameter);
    /// What is left, and the host waits for the reductions.
    void finish();
    /// This rank's gradient of a parameter, in the accumulation dtype.
    [[nodiscard]] TensorId shard(const ShardedParameter& parameter) const { return shards_.at(&parameter); }
    /// Where the fp32 gradients of an offloaded sub-group lie.
    void offload_to(const ShardedParameter& parameter, TensorId fp32) { offloaded_[&parameter] = fp32; }
    /// A pinned buffer for gradients whose sub-group lies in a file.
    void swap_through(TensorId buffer) { swap_buffer_ = buffer; }

private:
    void reduce();
    void all_reduce();
    void reduce_scatter();
    [[nodiscard]] TensorId interleave(Value& room, std::int64_t& elements);
    void keep(ShardedParameter& parameter, TensorId reduced);
    void offload(ShardedParameter& parameter, TensorId reduced);
    void widen_on_host(TensorId gradient, TensorId target);
    void drop(Parameter& parameter);

    Engine& engine_;
    ShardedParameters& parameters_;
    Value bucket_, flat_;
    TensorId swap_buffer_;
    std::unordered_map<const ShardedParameter*, TensorId> shards_, offloaded_;
    std::vector<ShardedParameter*> pending_;
    std::int64_t elements_ = 0;
    std::deque<OpId> events_;
    int micro_batch_ = 0;
    bool boundary_ = true;
};

} // namespace zerosim::strategy::deepspeed
