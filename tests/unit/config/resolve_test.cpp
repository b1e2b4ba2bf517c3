// What values mean together.
#include "fixture.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

namespace zerosim::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Resolve, DefaultsAreThoseOfTheStructs) {
    const strategy::Scenario s = resolve_words({}).scenario;
    const strategy::Strategy strategy;
    const strategy::Training training;
    EXPECT_EQ(s.strategy.zero_stage, strategy.zero_stage);
    EXPECT_EQ(s.strategy.bucket_cap_mib, strategy.bucket_cap_mib);
    EXPECT_EQ(s.strategy.prefetch_depth, strategy.prefetch_depth);
    EXPECT_EQ(s.strategy.overlap_communication, strategy.overlap_communication);
    EXPECT_EQ(s.strategy.reuse_gathered, strategy.reuse_gathered);
    EXPECT_EQ(s.strategy.shard_group, strategy.shard_group);
    EXPECT_EQ(s.training.micro_batch, training.micro_batch);
    EXPECT_EQ(s.training.steps, training.steps);
    EXPECT_EQ(s.training.precision, training.precision);
    EXPECT_EQ(s.training.learning_rate, training.learning_rate);
    EXPECT_EQ(s.training.beta1, training.beta1);
    EXPECT_EQ(s.training.beta2, training.beta2);
    EXPECT_EQ(s.training.epsilon, training.epsilon);
    EXPECT_EQ(s.training.weight_decay, training.weight_decay);
    EXPECT_EQ(s.training.clip_gradients, training.clip_gradients);
    EXPECT_EQ(s.training.initial_loss_scale, training.initial_loss_scale);
    EXPECT_EQ(s.training.recompute_early_stop, training.recompute_early_stop);
    EXPECT_EQ(s.training.init, training.init);
    EXPECT_EQ(s.training.data, ZEROSIM_SOURCE_DIR "/docs");
}

TEST(Resolve, EveryTrainingKeyArrives) {
    const auto r = resolve_words({"--train.micro-batch=2",
                                  "--train.gradient-accumulation=3",
                                  "--train.precision=fp16-mixed",
                                  "--train.learning-rate=3e-3",
                                  "--train.beta1=0.8",
                                  "--train.beta2=0.9",
                                  "--train.epsilon=1e-6",
                                  "--train.weight-decay=0",
                                  "--train.clip-gradients=1",
                                  "--train.recompute=every:2",
                                  "--train.dropout=0.1",
                                  "--train.data=chain",
                                  "--train.init=hash",
                                  "--strategy.zero-stage=2",
                                  "--strategy.bucket-cap-mib=0.5",
                                  "--strategy.prefetch-depth=3",
                                  "--strategy.overlap-communication=false",
                                  "--strategy.reuse-gathered",
                                  "--strategy.arena=caching",
                                  "--compute=synthetic",
                                  "--compute-threads=5"});
    const strategy::Training& t = r.scenario.training;
    EXPECT_EQ(t.micro_batch * 10 + t.gradient_accumulation, 23);
    EXPECT_EQ(t.precision, strategy::Precision::fp16_mixed);
    EXPECT_EQ(std::vector<double>({t.learning_rate, t.beta1, t.beta2, t.epsilon, t.weight_decay, t.clip_gradients, t.dropout}),
              std::vector<double>({3e-3, 0.8, 0.9, 1e-6, 0, 1, 0.1}));
    EXPECT_TRUE(t.recompute.applies(0) && !t.recompute.applies(1) && t.recompute.applies(2));
    EXPECT_EQ(t.data + " " + t.init, "chain hash");
    EXPECT_EQ(r.scenario.strategy.zero_stage, 2);
    EXPECT_EQ(r.scenario.strategy.bucket_cap_mib, 0.5);
    EXPECT_EQ(r.scenario.strategy.prefetch_depth, 3);
    EXPECT_FALSE(r.scenario.strategy.overlap_communication);
    EXPECT_TRUE(r.scenario.strategy.reuse_gathered);
    EXPECT_EQ(r.run.arena, Arena::caching);
    EXPECT_EQ(r.run.compute, Compute::synthetic);
    EXPECT_EQ(r.scenario.compute_threads, 5);
}

TEST(Resolve, OtherSystemsParse) {
    EXPECT_EQ(
        resolve_words({"--strategy.system=deepspeed", "--train.reduce-precision=fp32", "--model.implementation=huggingface"})
            .scenario.strategy.system,
        strategy::System::deepspeed);
}

TEST(Resolve, ScientificCountsAreCounts) { EXPECT_EQ(resolve_words({"--train.steps", "1e3"}).scenario.training.steps, 1000); }

TEST(GlobalBatch, TwoOfThreeGiveTheThird) {
    auto r = resolve_words({"--ranks=4", "--train.global-batch=24", "--train.micro-batch=2"});
    EXPECT_EQ(r.scenario.training.gradient_accumulation, 3);
    EXPECT_EQ(value_of(r, "train.gradient-accumulation").origin, "from train.global-batch");
    r = resolve_words({"--ranks=4", "--train.global-batch=24", "--train.gradient-accumulation=2"});
    EXPECT_EQ(r.scenario.training.micro_batch, 3);
    EXPECT_EQ(resolve_words({"--ranks=4", "--train.global-batch=24"}).scenario.training.micro_batch, 6);
    EXPECT_EQ(value_of(resolve_words({"--ranks=4", "--train.micro-batch=2"}), "train.global-batch").value, "8");
}

TEST(GlobalBatch, ContradictionsAreRefusedWithTheNumbers) {
    const auto error = [](std::vector<std::string> words) { return config_error([&] { (void)resolve_words(words); }); };
    EXPECT_THAT(error({"--ranks=4", "--train.global-batch=3"}), HasSubstr("smaller than the 4 ranks"));
    EXPECT_THAT(error({"--ranks=4", "--train.global-batch=6"}), HasSubstr("not a multiple of 4 ranks"));
    EXPECT_THAT(error({"--ranks=4", "--train.global-batch=8", "--train.micro-batch=1", "--train.gradient-accumulation=1"}),
                HasSubstr("is not 4 ranks x"));
}

TEST(Ranks, UnderALauncherAreMpisAndMayNotContradict) {
    Machine machine;
    machine.launched_ranks = 4;
    const auto r = resolve_words({}, {}, Command::run, machine);
    EXPECT_EQ(r.scenario.ranks, 4);
    EXPECT_EQ(value_of(r, "ranks").origin, "MPI");
    EXPECT_FALSE(r.run.ranks_given);
    EXPECT_EQ(resolve_words({"--ranks=4"}, {}, Command::run, machine).scenario.ranks, 4);
    EXPECT_THAT(config_error([&] { (void)resolve_words({"--ranks=2"}, {}, Command::run, machine); }),
                AllOf(HasSubstr("'2'"), HasSubstr("4 processes")));
}

TEST(Threads, CoresAreSharedByTheRanksOfTheNode) {
    Machine machine;
    machine.cores = 16;
    EXPECT_EQ(resolve_words({"--ranks=3"}, {}, Command::run, machine).scenario.compute_threads, 5);
    EXPECT_EQ(resolve_words({"--ranks=64"}, {}, Command::run, machine).scenario.compute_threads, 1);
    machine.local_ranks = 2;
    EXPECT_EQ(resolve_words({"--ranks=64"}, {}, Command::run, machine).scenario.compute_threads, 8);
}

TEST(Threads, a_simulation_of_gpus_shows_those_of_their_hosts) {
    const auto simulated = [](const char* system, std::vector<std::string> more) {
        Machine machine;
        machine.cores = 4;
        std::vector<std::string> words{"--cluster=h100-sxm", "--ranks=8", "--strategy.zero-stage=3", "--strategy.offload-optimizer=cpu", std::string("--strategy.system=") + system};
        words.insert(words.end(), more.begin(), more.end());
        const Resolved r = resolve_words(words, {}, Command::simulate, machine);
        EXPECT_EQ(value_of(r, "compute-threads").value, std::to_string(r.scenario.cluster.host.threads_per_rank)) << system;
        return r.scenario.cluster.host.threads_per_rank;
    };
    EXPECT_EQ(simulated("deepspeed", {}), 0);
    EXPECT_EQ(simulated("deepspeed", {"--compute-threads=6"}), 6);
    EXPECT_EQ(simulated("fsdp2", {"--strategy.offload-parameters=cpu"}), 1);
}

TEST(Library, IsTheDevicesInARunAndTheClustersInASimulation) {
    EXPECT_EQ(resolve_words({"--cluster=h200-sxm"}, {}, Command::simulate).scenario.library, kernel::Library::cuda);
    EXPECT_EQ(resolve_words({"--cluster=local"}, {}, Command::simulate).scenario.library, kernel::Library::host);
    EXPECT_EQ(resolve_words({"--cluster=h200-sxm"}).scenario.library, kernel::Library::host);
    EXPECT_THAT(config_error([] {
                    (void)resolve_words({"--cluster=h200-sxm", "--device=cpu"}, {}, Command::simulate);
                }),
                HasSubstr("contradicts cluster h200-sxm"));
    EXPECT_THROW((void)resolve_words({"--device=cuda"}), EnvironmentError);
    Machine machine;
    machine.cuda = true;
    EXPECT_EQ(resolve_words({"--device=cuda"}, {}, Command::run, machine).scenario.library, kernel::Library::cuda);
}

TEST(Device, ARunOnAGpuIsMeasuredAgainstThePresetOfSuchADevice) {
    const char* const before = std::getenv("XDG_CONFIG_HOME");
    const std::string home = before == nullptr ? "" : before;
    ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);      // no local-gpu that somebody measured here
    Machine machine;
    machine.cuda = true;
    machine.gpu_name = "NVIDIA H200";
    EXPECT_EQ(resolve_words({"--device=cuda"}, {}, Command::run, machine).scenario.cluster.name, "h200-sxm");
    EXPECT_EQ(resolve_words({}, {}, Command::run, machine).scenario.cluster.name, "h200-sxm") << "device auto takes the GPU";
    EXPECT_EQ(resolve_words({"--device=cuda", "--cluster=h100-sxm"}, {}, Command::run, machine).scenario.cluster.name, "h100-sxm") << "as asked";
    EXPECT_EQ(resolve_words({"--device=cpu"}, {}, Command::run, machine).scenario.cluster.name, "local");
    EXPECT_EQ(resolve_words({"--ranks=2"}, {}, Command::run, machine).scenario.cluster.name, "local") << "ranks that are threads have no GPUs";
    machine.gpu_name = "NVIDIA Unheard-Of";
    const Resolved unknown = resolve_words({"--device=cuda"}, {}, Command::run, machine);
    EXPECT_EQ(unknown.scenario.cluster.name, "local");
    EXPECT_THAT(unknown.notes, ::testing::Contains(HasSubstr("NVIDIA Unheard-Of")));
    before == nullptr ? ::unsetenv("XDG_CONFIG_HOME") : ::setenv("XDG_CONFIG_HOME", home.c_str(), 1);
}

TEST(Vocabulary, IsPaddedToTheMultipleAndTheRealOneIsKept) {
    const model::Model m = resolve_words({"--model=gpt2-124m", "--model.vocabulary-multiple=128"}).scenario.model;
    EXPECT_EQ(m.vocabulary, 50304);
    EXPECT_EQ(m.real_vocabulary, 50257);
}

TEST(Cluster, NetworkPerNodeIsSharedByItsDevices) {
    const auto c =
        resolve_words({"--cluster=a100-sxm-80gb", "--cluster.network-gigabits-per-node=800", "--cluster.communication=free"}, {},
                      Command::simulate)
            .scenario.cluster;
    EXPECT_DOUBLE_EQ(c.network.bytes_per_second, 100e9 / 8);
    EXPECT_TRUE(c.free_communication);
}

TEST(Cluster, APredictionForALocalThatNobodyMeasuredSaysSo) {
    const auto warnings_of = [](Command command, const char* cluster) { return resolve_words({"--cluster", cluster}, {}, command).warnings; };
    EXPECT_THAT(warnings_of(Command::simulate, "local"), testing::Contains(testing::HasSubstr("zerosim calibrate")));
    EXPECT_THAT(warnings_of(Command::simulate, "h100-sxm"), testing::IsEmpty());
    EXPECT_THAT(warnings_of(Command::run, "local"), testing::IsEmpty()) << "it is compared with what is measured";
}

TEST(Inject, IsTakenApart) {
    const auto fault = resolve_words({"--ranks=4", "--inject=2:gather:layers.1:hang"}).run.inject;
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->rank, 2);
    EXPECT_EQ(fault->op, "gather:layers.1");
    EXPECT_EQ(fault->action, FaultAction::hang);
}

TEST(Models, NotesSayWhatIsNotApplied) {
    const auto r = resolve_words({"--model=llama3.1-8b", "--train.sequence-length=8192"}, {}, Command::simulate);
    EXPECT_THAT(r.notes, ::testing::ElementsAre(HasSubstr("rotary scaling 'llama3' is not applied")));
}

TEST(Resolve, SettingsWithoutWhatTheyConcernAreRefused) {
    const auto error = [](std::vector<std::string> words) {
        return config_error([&] { static_cast<void>(resolve_words(std::move(words), {}, Command::simulate)); });
    };
    using ::testing::HasSubstr;
    EXPECT_THAT(error({"--strategy.system", "ddp", "--train.lora-targets", "q,v"}), HasSubstr("give train.lora-rank too"));
    EXPECT_THAT(error({"--allocator.expandable-segments", "true"}), HasSubstr("concerns PyTorch's caching allocator"));
    EXPECT_THAT(error({"--model", "sdxl-like", "--cluster", "h100-sxm", "--strategy.system", "ddp", "--train.sequence-length", "77"}),
                HasSubstr("its rules count samples"));
    EXPECT_TRUE(resolve_words({"--strategy.system", "ddp", "--cluster", "h100-sxm", "--allocator.expandable-segments", "true"}, {}, Command::simulate)
                    .scenario.allocator.expandable_segments);
}

} // namespace
} // namespace zerosim::config
