// ZeRO stages 1 and 2: gradients collected in IPG buckets and reduced to the ranks that own their partitions.
// Driven by PartitionedGradients in the order in which DeepSpeed's hooks run.
// Source: DeepSpeed runtime/zero/stage_1_and_2.py, reduce_independent_p_g_buckets_and_remove_grads to reduce_ipg_grads.
#pragma once

#include "strategy/deepspeed/flat_groups.hpp"

#include <array>
#include <unordered_map>

namespace zerosim::strategy::deepspeed {

class GradientBuckets {
public:
    GradientBuckets(Engine& engine, FlatGroups& groups, bool stage1);

    /// [setup_buckets] at the first gradient of a backward.
    void prepare();
    /// A complete gradient goes into the bucket; a full bucket is reduced before.
    void add(Parameter& parameter);
    /// What is left in the bucket.
    void finish();
    /// [_release_ipg_buffers] and the gradients in them.
    void release();
    /// Offloaded optimizer: which micro-batch of how many this is.
    void begin_micro_batch(int index, bool last) {
        micro_batch_ = index;
        boundary_ = last;
    }

private:
    struct Place {
        FlatGroup* group = nullptr;
        std::size_t index = 0; // of the parameter in its group
        bool owned = false;
        FlatGroup::Piece piece;
        std::int64_t in_partition = 0; // where the piece lies in this rank's partition
    };
    /// Elements of a bucket that one rank owns.
    struct Slice {
        std::int64_t owner = 0, begin = 0, count = 0;
    };
    [[nodiscard]] StreamId stream() const { return engine_.overlap ? engine_.streams.reduce : engine_.streams.compute; }
    void reduce();
    void average(TensorId bucket);
    [[nodiscard]] std::vector<Slice> slices() const;
    void all_reduce(TensorId bucket, const std::vector<Slice>& slices);
    void reduce_to_owners(TensorId bucket, const std::vector<Slice>& slices);
    void keep(Parameter& parameter);
    void offload(Parameter& parameter, const Place& place);

    Engine& engine_;
    FlatGroups& groups_;
    const bool stage1_;
    std::unordered_map<const Parameter*, Place> places_;
    std::array<Value, 2> buffers_;
    std::size_t index_ = 0;
    std::int64_t elements_ = 0;
    std::vector<Parameter*> pending_;
    Parameter* extra_large_ = nullptr;
    Value partition_; // grads_in_partition: whole parameters that touch this rank's partition
    std::int64_t partition_used_ = 0, partition_elements_ = 0, largest_ = 0, owned_ = 0;
    Value host_room_, device_room_;                           // offload: of the largest parameter
    std::unordered_map<const Parameter*, Value> accumulated_; // offload: on the host, whole parameters in the compute dtype
    int micro_batch_ = 0;
    bool boundary_ = true;
};

} // namespace zerosim::strategy::deepspeed
