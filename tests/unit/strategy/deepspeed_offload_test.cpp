// DeepSpeed's offload: valid schedules, volumes over the host link and of files, what the host holds.
#include "unit/strategy/deepspeed_scenarios.hpp"

namespace zerosim::strategy {
namespace {

/// Calls `visit(source, destination, space of source, space of destination)` for every copy of a steady step.
template <class Visit>
void for_each_copy(const Scenario& s, const Visit& visit) {
    const auto schedule = plan(s);
    const Program& program = schedule.program_of(0);
    const auto space_of = [&program](const schedule::Tensor& tensor) { return program.storage(tensor.storage).space; };
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    for (std::size_t i = begin; i < end; ++i) {
        if (program.ops[i].kind != OpKind::copy) continue;
        const auto operands = program.operands_of(program.ops[i]);
        for (std::size_t k = 0; k + 1 < operands.size(); k += 2) {
            const schedule::Tensor &from = program.tensor(operands[k]), &to = program.tensor(operands[k + 1]);
            visit(from, to, space_of(from), space_of(to));
        }
    }
}

std::int64_t bytes_of(const schedule::Tensor& tensor) { return tensor.elements() * size_of(tensor.dtype); }

/// Bytes of copies between device and host in a steady step: to the host, from it.
std::pair<std::int64_t, std::int64_t> crossing(const Scenario& s) {
    std::pair<std::int64_t, std::int64_t> bytes;
    for_each_copy(s, [&](const auto& from, const auto& to, schedule::Space source, schedule::Space destination) {
        const bool device_from = source == schedule::Space::device, device_to = destination == schedule::Space::device;
        const std::int64_t n = std::min(bytes_of(from), bytes_of(to));
        if (device_from && !device_to) bytes.first += n;
        if (!device_from && device_to) bytes.second += n;
    });
    return bytes;
}

TEST(DeepSpeedOffload, ValidAndOnTheHost) {
    for (const int stage : {1, 2, 3})
        for (const std::int64_t ranks : {1, 2, 3})
            for (const std::int64_t accumulation : {1, 2}) {
                Scenario s = small(stage, ranks);
                s.training.gradient_accumulation = accumulation;
                s.strategy.optimizer_at = Placement::cpu;
                const auto violations = schedule::validate(plan(s));
                ASSERT_TRUE(violations.empty()) << "stage " << stage << " ranks " << ranks << "\n" << text_of(violations);
                if (stage < 3) continue;
                s.strategy.parameters_at = Placement::cpu;
                const auto both = schedule::validate(plan(s));
                ASSERT_TRUE(both.empty()) << "parameters too, ranks " << ranks << "\n" << text_of(both);
                s.strategy.deepspeed.offload_ratio = 0.5;
                s.strategy.deepspeed.sub_group = 100;
                ASSERT_TRUE(schedule::validate(plan(s)).empty()) << text_of(schedule::validate(plan(s)));
            }
}

TEST(DeepSpeedOffload, VolumesOverTheHostLink) {
    Scenario s = small(2, 2);
    s.strategy.optimizer_at = Placement::cpu;
    std::int64_t owned = 0; // of rank 0: without padding
    for (const bool matrices : {true, false}) {
        std::int64_t n = 0;
        for (const auto& p : model::parameters(s.model)) n += p.matrix == matrices ? p.elements() : 0;
        owned += std::min(n, (n + 3) / 4 * 4 / 2);
    }
    EXPECT_EQ(crossing(s), std::make_pair(4 * owned + 4, flat_elements(s))) << "fp32 gradients and the clip factor out, 2 bytes of parameters in";
    s.strategy.zero_stage = 3;
    for (const std::int64_t accumulation : {1, 3}) {
        s.training.gradient_accumulation = accumulation;
        const std::int64_t share = sharded_elements(s) / s.ranks;
        EXPECT_EQ(crossing(s), std::make_pair((2 * accumulation + 4) * share + 4, (2 * accumulation + 2) * share));
    }
}

/// Bytes read from files and written to them in a steady step.
std::pair<std::int64_t, std::int64_t> file_bytes(const Scenario& s) {
    std::pair<std::int64_t, std::int64_t> bytes;
    for_each_copy(s, [&](const auto& from, const auto& to, schedule::Space source, schedule::Space destination) {
        if (source == schedule::Space::nvme) bytes.first += bytes_of(from);
        if (destination == schedule::Space::nvme) bytes.second += bytes_of(to);
    });
    return bytes;
}

// ZeRO-Infinity: 12 bytes of states and 4 of gradients an element read and written a step; parameters read for each gather, written once.
TEST(DeepSpeedOffload, VolumesOfFiles) {
    Scenario s = medium(3, 2);
    s.training.weight_decay = 0; // one sub-group, large enough for a file
    s.strategy.optimizer_at = Placement::nvme;
    const std::int64_t share = sharded_elements(s) / s.ranks;
    EXPECT_EQ(file_bytes(s), std::make_pair(16 * share, 16 * share));
    s.strategy.parameters_at = Placement::nvme;
    s.strategy.deepspeed.max_in_cpu = 0;
    s.strategy.deepspeed.max_reuse_distance = s.strategy.deepspeed.persistence_threshold = s.strategy.deepspeed.prefetch_bucket = 0;
    EXPECT_EQ(file_bytes(s), std::make_pair((16 + 2 * 2) * share, (16 + 2) * share));
    EXPECT_TRUE(schedule::validate(plan(s)).empty()) << text_of(schedule::validate(plan(s)));
    s.training.gradient_accumulation = 2;
    EXPECT_TRUE(schedule::validate(plan(s)).empty()) << text_of(schedule::validate(plan(s)));
    s.strategy.deepspeed.parameter_buffer = 1000;
    EXPECT_THROW(static_cast<void>(plan(s)), ConfigError) << "a shard must fit a buffer";
    s.strategy.deepspeed.max_in_cpu = 1'000'000'000;
    EXPECT_EQ(file_bytes(s).first, 16 * share) << "parameters within max_in_cpu stay in memory";
}

/// Host waits of a steady step for copies whose source or destination lies in `space`.
std::size_t waits_for_copies(const Scenario& s, schedule::Space space) {
    const auto schedule = plan(s);
    const Program& program = schedule.program_of(0);
    std::size_t waits = 0;
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    for (std::size_t i = begin; i < end; ++i) {
        if (program.ops[i].kind != OpKind::host_wait) continue;
        for (const OpId dep : program.deps_of(program.ops[i])) {
            const schedule::Op& op = program.op(dep);
            if (op.kind != OpKind::copy || dep.index() + 1 != i) continue;
            const auto operands = program.operands_of(op);
            waits += program.storage(program.tensor(operands[0]).storage).space == space || program.storage(program.tensor(operands[1]).storage).space == space;
        }
    }
    return waits;
}

// cudaMemcpyAsync of pageable memory returns when the copy is done; of pinned memory at once.
TEST(DeepSpeedOffload, TheHostWaitsForPageableCopies) {
    for (const int stage : {2, 3}) {
        Scenario s = small(stage, 2);
        s.strategy.optimizer_at = Placement::cpu;
        EXPECT_EQ(waits_for_copies(s, schedule::Space::pinned), 0u) << stage;
        s.strategy.deepspeed.pin_memory = false;
        EXPECT_GE(waits_for_copies(s, schedule::Space::host), model::parameters(s.model).size() / 2) << stage;
        EXPECT_TRUE(schedule::validate(plan(s)).empty()) << text_of(schedule::validate(plan(s)));
    }
}

// Pull requests 6670 and 8207: a blocking copy of a 2-byte gradient is widened by the CPU, then one of an fp32 gradient, then one that nobody waits for.
TEST(DeepSpeedOffload, ReleasesCopyGradientsOfStage3Differently) {
    Scenario s = small(3, 2);
    s.strategy.optimizer_at = Placement::cpu;
    const std::int64_t share = sharded_elements(s) / s.ranks;
    EXPECT_EQ(waits_for_copies(s, schedule::Space::pinned), 0u);
    EXPECT_EQ(crossing(s).first, (2 + 4) * share + 4);
    s.strategy.deepspeed.release = 16;
    EXPECT_EQ(waits_for_copies(s, schedule::Space::pinned), model::parameters(s.model).size()) << "one a parameter";
    EXPECT_EQ(crossing(s).first, (2 + 4) * share + 4);
    s.strategy.deepspeed.release = 14;
    EXPECT_EQ(crossing(s).first, (2 + 2) * share + 4) << "2 bytes cross";
    for (const bool pinned : {false, true}) {
        s.strategy.deepspeed.pin_memory = pinned;
        EXPECT_TRUE(schedule::validate(plan(s)).empty()) << text_of(schedule::validate(plan(s)));
    }
}

TEST(DeepSpeedOffload, HostHoldsMasterMomentsAndGradients) {
    Scenario s = medium(3, 4);
    s.strategy.optimizer_at = Placement::cpu;
    const auto with = replay(s);
    EXPECT_GE(with.host_peak, 18 * elements_of(s.model) / s.ranks) << "4 master, 8 moments, 4 gradient, 2 gradient shard";
    EXPECT_EQ(role_bytes(s, Role::master_weight), 0) << "on the device";
}

} // namespace
} // namespace zerosim::strategy
