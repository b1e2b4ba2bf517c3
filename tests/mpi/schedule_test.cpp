// Whole schedules under real MPI: every byte handed to MPI is one the schedule names, and training gives the bits of ranks that are
// threads of one process.
#include "comm/byte_exchange.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_control.hpp"
#include "mpi/pmpi_counter.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

namespace zerosim {
namespace {

/// What one collective was asked for and what MPI was given for it.
struct Counted {
    std::int64_t message_bytes = 0;
    tests::MpiTraffic traffic, expected;
};

/// Runs each collective to its end where it starts, so that what MPI is given meanwhile is this collective's.
/// Needs a schedule whose collectives follow each other: overlap-communication off.
class CountingCommunicator final : public comm::Communicator {
public:
    CountingCommunicator(std::unique_ptr<comm::Communicator> inner, std::vector<Counted>& log) : inner_(std::move(inner)), log_(log) {}
    [[nodiscard]] int rank() const override { return inner_->rank(); }
    [[nodiscard]] int size() const override { return inner_->size(); }
    [[nodiscard]] comm::Ticket start(const comm::CollectiveCall& call) override {
        tests::reset_traffic();
        inner_->run(call);
        log_.push_back({comm::message_bytes(call.kind, call.count, call.dtype, size()), tests::traffic(),
                        tests::expected_traffic(call.kind, call.count, call.dtype, rank(), size())});
        return 0;
    }
    [[nodiscard]] bool test(comm::Ticket) override { return true; }

private:
    std::unique_ptr<comm::Communicator> inner_;
    std::vector<Counted>& log_;
};

using Wrap = std::function<std::unique_ptr<comm::Communicator>(std::unique_ptr<comm::Communicator>)>;

exec::RankResult run_rank(const strategy::Scenario& s, const schedule::Schedule& schedule, const comm::MpiCommunicator& world, const Wrap& wrap = {}) {
    const std::int64_t rank = world.rank();
    const schedule::Program& program = schedule.program_of(rank);
    auto communicators = exec::split_communicators<comm::Communicator>(schedule, rank, [&](int colour, int key) {
        std::unique_ptr<comm::Communicator> own = world.split(colour, key);
        return wrap ? wrap(std::move(own)) : std::move(own);
    });
    auto options = test::options_of(s);
    options.arena = schedule::plan_arena(program);
    const auto device = exec::make_host_device(schedule, program, options.arena, 1);
    comm::MpiControl control(MPI_COMM_WORLD);
    comm::Progress progress;
    data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
    return exec::execute_rank(schedule, rank, {*device, communicators, &control, progress, tokens}, options);
}

/// All ranks' results, on every rank; of each only what combine() needs.
test::Trained gathered(const schedule::Schedule& schedule, comm::Communicator& world, const exec::RankResult& mine) {
    std::string bytes(mine.final_parameters.size() * sizeof(exec::FinalParameter), '\0');
    std::memcpy(bytes.data(), mine.final_parameters.data(), bytes.size());
    std::vector<exec::RankResult> all;
    for (const std::string& blob : comm::all_gather_bytes(world, bytes)) {
        exec::RankResult& rank = all.emplace_back();
        rank.steps = mine.steps;
        rank.final_parameters.resize(blob.size() / sizeof(exec::FinalParameter));
        std::memcpy(rank.final_parameters.data(), blob.data(), blob.size());
    }
    return test::combine(schedule, std::move(all));
}

strategy::Scenario scenario_of(int stage, int ranks) {
    auto s = test::scenario(test::tiny_gpt2(), stage, ranks);
    s.training.clip_gradients = 0.1;
    s.training.steps = 2;
    s.strategy.bucket_cap_mib = 0.003;
    return s;
}

TEST(WholeSchedule, EveryCollectiveHandsMpiTheBytesOfTheSchedule) {
    const comm::MpiCommunicator world(MPI_COMM_WORLD);
    for (const auto precision : {strategy::Precision::fp32, strategy::Precision::bf16_mixed})
        for (int stage = 0; stage < 4; ++stage) {
            auto s = scenario_of(stage, world.size());
            s.training.precision = precision;
            s.training.gradient_accumulation = 2;
            s.strategy.overlap_communication = false;
            const auto schedule = strategy::plan(s);
            const auto& program = schedule.program_of(world.rank());
            std::vector<Counted> log;
            (void)run_rank(s, schedule, world, [&](auto inner) { return std::make_unique<CountingCommunicator>(std::move(inner), log); });
            std::size_t at = 0;
            const auto expect_segment = [&](schedule::Segment segment) {
                const auto [begin, end] = program.bounds(segment);
                for (std::size_t op = begin; op < end; ++op) {
                    if (program.ops[op].kind != schedule::OpKind::collective) continue;
                    ASSERT_LT(at, log.size()) << "op " << op << " of stage " << stage;
                    EXPECT_EQ(log[at].message_bytes, schedule::message_bytes(program, program.collective_of(program.ops[op]))) << "op " << op << " of stage " << stage;
                    EXPECT_EQ(log[at].traffic, log[at].expected) << "op " << op << " of stage " << stage << "\n  counted:  " << tests::describe(log[at].traffic)
                                                                 << "\n  expected: " << tests::describe(log[at].expected);
                    ++at;
                }
            };
            expect_segment(schedule::Segment::init);
            for (int step = 1; step <= s.training.steps; ++step) expect_segment(program.segment_of_step(step));
            EXPECT_EQ(at, log.size()) << "collectives that the schedule does not name, stage " << stage;
        }
}

/// What a whole run hands to MPI, by the schedule.
tests::MpiTraffic expected_of(const strategy::Scenario& s, const schedule::Schedule& schedule, const comm::MpiCommunicator& world) {
    const schedule::Program& program = schedule.program_of(world.rank());
    tests::MpiTraffic expected;
    const auto add_segment = [&](schedule::Segment segment) {
        const auto [begin, end] = program.bounds(segment);
        for (std::size_t op = begin; op < end; ++op) {
            if (program.ops[op].kind != schedule::OpKind::collective) continue;
            const auto& c = program.collective_of(program.ops[op]);
            const auto& counted = program.tensor(c.kind == CollectiveKind::reduce_scatter ? c.receive : c.send);
            expected += tests::expected_traffic(c.kind, counted.elements(), counted.dtype, world.rank(), world.size());
        }
    };
    add_segment(schedule::Segment::init);
    for (int step = 1; step <= s.training.steps; ++step) add_segment(program.segment_of_step(step));
    return expected;
}

// With overlap the collectives of two streams mix; their sum is the same.
TEST(WholeSchedule, OverlappedCollectivesHandMpiTheSameBytesInAll) {
    const comm::MpiCommunicator world(MPI_COMM_WORLD);
    for (int stage = 0; stage < 4; ++stage) {
        const auto s = scenario_of(stage, world.size());
        const auto schedule = strategy::plan(s);
        const tests::MpiTraffic expected = expected_of(s, schedule, world);
        tests::reset_traffic();
        (void)run_rank(s, schedule, world);
        EXPECT_EQ(tests::traffic(), expected) << "stage " << stage << "\n  counted:  " << tests::describe(tests::traffic()) << "\n  expected: " << tests::describe(expected);
    }
}

// One micro-batch and sums in rank order: stages 0 to 3, processes and threads, all give the same parameters.
TEST(WholeSchedule, TrainsTheBitsOfThreadsAtEveryStage) {
    comm::MpiCommunicator world(MPI_COMM_WORLD);
    std::map<std::string, std::uint64_t> first;
    for (int stage = 0; stage < 4; ++stage) {
        const auto s = scenario_of(stage, world.size());
        const auto schedule = strategy::plan(s);
        const test::Trained mpi = gathered(schedule, world, run_rank(s, schedule, world)), local = test::train(s);
        EXPECT_EQ(mpi.hashes, local.hashes) << "stage " << stage;
        EXPECT_EQ(mpi.losses, local.losses) << "stage " << stage;
        if (first.empty()) first = mpi.hashes;
        EXPECT_EQ(mpi.hashes, first) << "stage " << stage << " and stage 0";
    }
}

// PyTorch's systems: collectives of several streams mix, and their sum is the schedule's.
TEST(WholeSchedule, EagerSystemsHandMpiTheirBytesAndTrainTheBitsOfThreads) {
    comm::MpiCommunicator world(MPI_COMM_WORLD);
    for (const auto& [system, stage] : {std::pair{strategy::System::ddp, 0}, {strategy::System::ddp, 1}, {strategy::System::fsdp2, 2}, {strategy::System::fsdp2, 3},
                                       {strategy::System::fsdp, 3}, {strategy::System::deepspeed, 1}, {strategy::System::deepspeed, 2}, {strategy::System::deepspeed, 3},
                                       {strategy::System::megatron, 0}, {strategy::System::megatron, 1}}) {
        auto s = scenario_of(stage, world.size());
        s.strategy.system = system;
        if (system == strategy::System::megatron) s.model.implementation = model::Implementation::megatron;
        const auto schedule = strategy::plan(s);
        const tests::MpiTraffic expected = expected_of(s, schedule, world);
        tests::reset_traffic();
        const exec::RankResult mine = run_rank(s, schedule, world);
        EXPECT_EQ(tests::traffic(), expected) << "stage " << stage << "\n  counted:  " << tests::describe(tests::traffic()) << "\n  expected: " << tests::describe(expected);
        EXPECT_EQ(gathered(schedule, world, mine).hashes, test::train(s).hashes) << "stage " << stage;
    }
}

}  // namespace
}  // namespace zerosim
