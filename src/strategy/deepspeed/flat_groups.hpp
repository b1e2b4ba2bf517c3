// ZeRO stages 1 and 2: each parameter group is one flat buffer of the compute dtype, padded to a multiple of 2 x ranks and cut into equal
// partitions; a rank holds fp32 master weights and Adam's moments of its own. Parameters straddle partitions.
// Used by PartitionedGradients. Source: DeepSpeed runtime/zero/stage_1_and_2.py, DeepSpeedZeroOptimizer.__init__.
#pragma once

#include "strategy/deepspeed/engine.hpp"

#include <unordered_map>

namespace zerosim::strategy::deepspeed {

struct FlatGroup {
    /// A parameter that has elements in this rank's partition.
    struct Piece {
        Parameter* parameter = nullptr;
        std::int64_t begin = 0, count = 0; // of the parameter's elements
    };
    std::vector<Parameter*> parameters;
    std::vector<std::int64_t> offsets; // in the flat buffer
    bool decays = false;
    std::int64_t total = 0, shard = 0;
    LayoutId layout;
    StorageId storage;
    TensorId flat, own; // the whole buffer; this rank's partition of it
    std::vector<Piece> pieces;
    Value master, first_moment, second_moment;
    Value gradient, staging; // offloaded optimizer: fp32 gradient, parameters in the compute dtype, both on the host
};

class FlatGroups {
public:
    FlatGroups(Engine& engine, torch::LanguageModel& model);

    /// Parameters on the device, their flat copies, master weights.
    void initialize();
    [[nodiscard]] std::vector<FlatGroup>& all() { return groups_; }
    /// Owner of an element of a group's flat buffer.
    [[nodiscard]] static std::int64_t owner(const FlatGroup& group, std::int64_t element) { return element / group.shard; }

private:
    [[nodiscard]] std::unordered_map<const Parameter*, Value> move_module();
    void flatten(FlatGroup& group, std::unordered_map<const Parameter*, Value>& apart);
    void make_master(FlatGroup& group);

    Engine& engine_;
    torch::LanguageModel& model_;
    std::vector<FlatGroup> groups_;
};

} // namespace zerosim::strategy::deepspeed
