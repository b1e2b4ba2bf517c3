#include "strategy/megatron/planner.hpp"

#include "strategy/empty_schedule.hpp"
#include "strategy/megatron/gpt_model.hpp"
#include "strategy/megatron/mixed_precision_optimizer.hpp"

#include <algorithm>

namespace zerosim::strategy {
namespace {

using namespace megatron;
using schedule::Phase;
using schedule::Role;
using schedule::StreamKind;

std::int64_t shard_ranks(const Scenario& s) { return s.strategy.shard_group == 0 ? s.ranks : s.strategy.shard_group; }

/// Shards of a buffer end within parameters, so that every rank owns other parts. Where schedules only are simulated, rank 0's stands for all.
bool has_program_each(const Scenario& s) { return s.strategy.zero_stage == 1 && s.library == kernel::Library::host; }

Layout layout_of(schedule::ProgramBuilder& program, const Scenario& s, std::int64_t rank) {
    Layout l;
    l.distributed_optimizer = s.strategy.zero_stage == 1;
    l.overlap = s.strategy.overlap_communication;
    l.parameter_dtype = compute_dtype(s.training.precision);
    l.gradient_dtype = s.training.reduce_precision.value_or(DType::fp32);   // accumulate_allreduce_grads_in_fp32
    l.shard_ranks = shard_ranks(s);
    l.replicas = s.ranks / l.shard_ranks;
    // [DistributedDataParallel.__init__] without overlap there is one bucket.
    constexpr std::int64_t kSmallest = 40000000, kPerRank = 1000000;
    if (l.overlap) l.bucket_elements = s.strategy.megatron.bucket_elements > 0 ? s.strategy.megatron.bucket_elements : std::max(kSmallest, kPerRank * s.ranks);
    l.compute = program.stream("default", StreamKind::compute);
    l.communication = program.stream("nccl", StreamKind::communication);
    l.replicate_communication = program.stream("nccl_between_instances", StreamKind::communication);
    l.pool = program.pool("default", l.compute);
    l.communication_pool = program.pool("nccl", l.communication);
    l.replicate_pool = program.pool("nccl_between_instances", l.replicate_communication);
    l.shard = AxisId{0};
    l.replicate = AxisId{1};
    l.one_rank = has_program_each(s);
    l.coordinate = rank % l.shard_ranks;
    return l;
}

/// [train_step, forward_backward_no_pipelining]
class TrainStep {
public:
    TrainStep(Tape& tape, GptModel& model, Buffers& buffers, MixedPrecisionOptimizer& optimizer, const Scenario& scenario)
        : tape_(tape), model_(model), buffers_(buffers), optimizer_(optimizer), scenario_(scenario) {
        loss_ = tape_.program.storage("loss", size_of(DType::fp32), tape_.options.pool, Role::scalar);
    }

    void run() {
        const int micro_batches = static_cast<int>(scenario_.training.gradient_accumulation);
        tag(0, Phase::forward);
        buffers_.zero_gradients();
        optimizer_.drop_gradients();
        for (int k = 0; k < micro_batches; ++k) run_micro_batch(k, k == micro_batches - 1);
        buffers_.finish_reduction();   // [finalize_model_grads]
        tag(-1, Phase::optimizer);
        optimizer_.step();
        buffers_.gather_parameters();
        buffers_.expect_gathers();
        auto& program = tape_.program;
        std::vector<OpId> last;   // the loss is logged
        for (std::size_t stream = 0; stream < program.streams(); ++stream) last.push_back(program.last(StreamId{stream}));
        program.host_wait(tape_.options.stream, last);
    }

private:
    void tag(int micro_batch, Phase phase) { tape_.program.tags = {.micro_batch = static_cast<std::int16_t>(micro_batch), .phase = phase}; }

    void run_micro_batch(int k, bool last) {
        const auto& t = scenario_.training;
        tag(k, Phase::forward);
        const Value tokens = tape_.make("tokens", 1, t.micro_batch * t.sequence_length, DType::int64, Role::input);
        const Value targets = tape_.make("targets", 1, t.micro_batch * t.sequence_length, DType::int64, Role::input);
        tape_.program.input(tape_.options.stream, tokens.tensor, targets.tensor);
        buffers_.begin_micro_batch(last);
        Value loss = model_.loss(tokens, targets);
        keep(loss);
        loss.buffer.reset();
        tag(k, Phase::backward);
        Value ones = tape_.make("ones_like", 1, 1, DType::fp32);
        tape_.fill(ones, 1.0 / static_cast<double>(t.gradient_accumulation));
        tape_.engine.backward(loss, std::move(ones));
    }

    /// The loss is kept for the log.
    void keep(const Value& loss) {
        if (holds_loss_) tape_.program.free(loss_);
        tape_.program.alloc(loss_);
        tape_.program.copy(tape_.options.stream, loss.tensor, tape_.program.tensor("loss", loss_, DType::fp32, 1, 1));
        holds_loss_ = true;
    }

    Tape& tape_;
    GptModel& model_;
    Buffers& buffers_;
    MixedPrecisionOptimizer& optimizer_;
    const Scenario& scenario_;
    StorageId loss_;
    bool holds_loss_ = false;
};

std::uint32_t plan_rank(schedule::Schedule& schedule, const Scenario& scenario, std::int64_t rank) {
    schedule::ProgramBuilder program(schedule);
    torch::Memory memory(program);
    const Layout layout = layout_of(program, scenario, rank);
    torch::TapeOptions options;
    options.pool = layout.pool;
    options.stream = layout.compute;
    options.lower = layout.parameter_dtype;
    options.library = scenario.library;
    options.threads = scenario.compute_threads;
    options.device = torch::device_kernels(scenario);
    options.device.cudnn_attention = false;   // Transformer Engine chooses for itself: FlashAttention, as measured (docs/accuracy.md)
    Tape tape(memory, options);
    tape.engine.early_stop = false;   // tensor_parallel.checkpoint is reentrant: the whole layer is computed again
    GptModel model(tape, scenario);
    { const Buffer first = tape.scratch("first_tensor", 4); }   // what creates the CUDA context
    Buffers buffers(tape, layout, model.parameters());
    model.use(buffers);
    buffers.allocate();
    MixedPrecisionOptimizer optimizer(tape, buffers, layout, scenario);
    optimizer.make_main_parameters();
    program.host_wait(layout.compute, std::vector<OpId>{program.last(layout.compute)});
    program.begin_first();
    TrainStep step(tape, model, buffers, optimizer, scenario);
    step.run();
    program.begin_steady();
    step.run();
    memory.close();
    return program.finish();
}

}  // namespace

schedule::Schedule plan_megatron(const Scenario& scenario) {
    schedule::Schedule schedule = empty_schedule(scenario);
    const std::int64_t sharded = shard_ranks(scenario);
    schedule.axes.push_back({schedule.names.intern("data"), sharded, 1});
    schedule.axes.push_back({schedule.names.intern("instances"), scenario.ranks / sharded, sharded});
    if (has_program_each(scenario)) {
        for (std::int64_t rank = 0; rank < scenario.ranks; ++rank) schedule.roles.push_back({plan_rank(schedule, scenario, rank), rank, 1});
    } else {
        schedule.roles.push_back({plan_rank(schedule, scenario, 0), 0, scenario.ranks});
    }
    return schedule;
}

}  // namespace zerosim::strategy
