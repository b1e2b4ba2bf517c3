#include "strategy/deepspeed/planner.hpp"

#include "strategy/deepspeed/partitioned_gradients.hpp"
#include "strategy/deepspeed/replicated.hpp"
#include "strategy/deepspeed/sharded_optimizer.hpp"
#include "strategy/empty_schedule.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy {
namespace {

using namespace deepspeed;

/// One rank's program, init, first and steady step.
template <class Stage>
std::uint32_t plan_rank(schedule::Schedule& schedule, const Scenario& scenario, std::int64_t rank) {
    schedule::ProgramBuilder program(schedule);
    torch::Memory memory(program);
    const DeepSpeedOptions& options = scenario.strategy.deepspeed;
    const int stage = scenario.strategy.zero_stage;
    constexpr std::size_t kOpsOfBlock = 1040;   // stage 3: two steps of a Llama block with recomputation: a guess, only for room
    if (stage == 3) program.reserve(kOpsOfBlock * static_cast<std::size_t>(scenario.model.layers));
    const bool apart = options.overlap.value_or(stage == 3) && stage > 0;
    const Streams streams = declare_streams(program, apart && stage == 3, apart);
    Tape tape(memory, torch::training_options(scenario, streams.compute_pool, streams.compute, compute_dtype(scenario.training.precision)));
    torch::set_checkpoints(tape.engine, scenario.training);
    torch::LanguageModel model(tape, scenario);
    Engine engine(tape, schedule, scenario, streams, rank);
    { const Buffer first = tape.scratch("first_tensor", 4); } // what creates the CUDA context
    Stage optimizer(engine, model);
    optimizer.initialize();
    program.host_wait(streams.compute, std::vector<OpId>{program.last(streams.compute), program.last(streams.collectives)});
    program.begin_first();
    torch::TrainingStep step(tape, model, scenario, optimizer.hooks());
    step.run();
    program.begin_steady();
    step.run();
    memory.close();
    return program.finish();
}

/// Elements of whole parameters that touch a rank's partitions: what makes its gradients larger than another's.
std::vector<std::int64_t> touching_elements(const Scenario& scenario) {
    schedule::Schedule none;
    schedule::ProgramBuilder program(none);
    torch::Memory memory(program);
    const Streams streams = declare_streams(program, false, false);
    Tape tape(memory, {streams.compute_pool, streams.compute});
    torch::LanguageModel model(tape, scenario);
    Engine engine(tape, none, scenario, streams, 0);
    FlatGroups groups(engine, model);
    std::vector<std::int64_t> all(static_cast<std::size_t>(scenario.ranks), 0);
    for (const FlatGroup& group : groups.all())
        for (std::size_t i = 0; i < group.parameters.size(); ++i) {
            const std::int64_t n = group.parameters[i]->elements(), first = FlatGroups::owner(group, group.offsets[i]);
            for (std::int64_t rank = first; rank <= FlatGroups::owner(group, group.offsets[i] + n - 1); ++rank)
                all[static_cast<std::size_t>(rank)] += n;
        }
    memory.close();
    return all;
}

/// Parameters straddle partitions, so ranks differ. Few ranks have a program each; of many, the first, the one that holds most, for all
/// between, and the last.
void plan_partitions(schedule::Schedule& schedule, const Scenario& scenario) {
    constexpr std::int64_t kFew = 16;
    const std::int64_t last = scenario.ranks - 1;
    if (scenario.ranks <= kFew) {
        for (std::int64_t rank = 0; rank <= last; ++rank)
            schedule.roles.push_back({plan_rank<PartitionedGradients>(schedule, scenario, rank), rank, 1});
        return;
    }
    const auto elements = touching_elements(scenario);
    const std::int64_t largest = std::ranges::max_element(elements.begin() + 1, elements.end() - 1) - elements.begin();
    schedule.roles.push_back({plan_rank<PartitionedGradients>(schedule, scenario, 0), 0, 1});
    schedule.roles.push_back({plan_rank<PartitionedGradients>(schedule, scenario, largest), 1, last - 1});
    schedule.roles.push_back({plan_rank<PartitionedGradients>(schedule, scenario, last), last, 1});
    schedule.notes.push_back(
        fmt::format("deepspeed stage {}: parameters straddle partitions; ranks 1 to {} are all planned as rank {}, which holds the most gradients",
                    scenario.strategy.zero_stage, last - 1, largest));
}

} // namespace

schedule::Schedule plan_deepspeed(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    schedule.axes.push_back({schedule.names.intern("data"), scenario.ranks, 1});
    schedule.one_communicator_per_axis = true;
    switch (scenario.strategy.zero_stage) {
        case 0: schedule.roles.push_back({plan_rank<Replicated>(schedule, scenario, 0), 0, scenario.ranks}); break;
        case 3: schedule.roles.push_back({plan_rank<ShardedOptimizer>(schedule, scenario, 0), 0, scenario.ranks}); break;
        default: plan_partitions(schedule, scenario);
    }
    return schedule;
}

} // namespace zerosim::strategy
