// The commands of docs/gpus.md as a user gives them, by the whole program over the tests' CUDA runtime, cuBLASLt and NCCL: ranks are processes, GPUs are
// two "NVIDIA H200" of the host's memory, or as many as CUDA_VISIBLE_DEVICES shows.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

/// Few steps of a small model: the grid is emulated.
Words training(const Words& more, const char* steps = "2") {
    Words words{"run", "--model", "gpt-micro", "--train.sequence-length", "16", "--train.micro-batch", "1", "--train.steps", steps, "--train.precision", "fp32", "--train.data", "chain", "--format", "json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
}
const Words kOnGpus{"--device", "cuda"};
Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

class GpuProgram : public ::testing::Test {
protected:
    /// The GPUs that a rank sees; "" = both.
    static ProgramOptions seeing(const std::string& gpus, std::map<std::string, std::string> environment = {}) {
        if (!gpus.empty()) environment["CUDA_VISIBLE_DEVICES"] = gpus;
        return {.environment = std::move(environment)};
    }
    static json result(const Outcome& outcome) {
        EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
        const json parsed = json::parse(outcome.output, nullptr, false);
        EXPECT_FALSE(parsed.is_discarded()) << outcome.describe();
        return parsed.is_discarded() ? json::object() : parsed;
    }
    /// Losses and norms as the CPU's: sums are not in rank order, so not the same bits.
    static void expect_as_on_cpu(const json& gpu, const json& cpu) {
        for (const char* key : {"losses", "gradient_norms"}) {
            const auto found = gpu.at("training").at(key).get<std::vector<double>>(), expected = cpu.at("training").at(key).get<std::vector<double>>();
            ASSERT_EQ(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-4 * expected[i]) << key << " of step " << i + 1;
        }
    }
};

TEST_F(GpuProgram, OneRankTrainsAsOnTheCpu) {
    const json gpu = result(run_zerosim(training(kOnGpus), seeing("0")));
    expect_as_on_cpu(gpu, result(run_zerosim(training({"--device", "cpu", "--ranks", "1"}))));
    EXPECT_GE(gpu.at("memory").at("driver").at("growth_bytes").get<std::int64_t>(), 0) << "the account of the driver's figure is in the report";
}

TEST_F(GpuProgram, ExplainsItsRun) {
    const json gpu = result(run_zerosim(with(training(kOnGpus, "1"), {"--explain", "true"}), seeing("0")));
    EXPECT_TRUE(gpu.contains("explanation")) << "changes are planned for the machine that the run is on";
}

class GpuProgramStages : public GpuProgram, public ::testing::WithParamInterface<int> {};

TEST_P(GpuProgramStages, RanksThatShareOneTrainAsOnTheCpu) {
    const Words stage{"--strategy.zero-stage", std::to_string(GetParam())};
    const json gpu = result(mpirun_zerosim(3, with(training(kOnGpus), stage), seeing("0", {{"ZEROSIM_SHARE_DEVICE", "true"}})));
    expect_as_on_cpu(gpu, result(mpirun_zerosim(3, with(training({"--device", "cpu"}), stage))));
    EXPECT_EQ(gpu.at("transport").at("used").at(0).at("path"), "network") << gpu.at("transport").dump();
}

INSTANTIATE_TEST_SUITE_P(Stages, GpuProgramStages, ::testing::Values(0, 1, 2, 3));

TEST_F(GpuProgram, SharingIsRefusedUnlessAskedFor) {
    const Outcome more = mpirun_zerosim(3, training(kOnGpus), seeing("0,1"));
    EXPECT_EQ(more.exit_code, 3) << more.describe();
    EXPECT_THAT(more.errors, HasSubstr("--share-device true"));
    const Outcome same = mpirun_zerosim(2, training(kOnGpus), seeing("0"));
    EXPECT_EQ(same.exit_code, 3) << same.describe();
    EXPECT_THAT(same.errors, AllOf(HasSubstr("has the GPU at 0000:1b:00.0 too"), HasSubstr("--share-device true")));
}

TEST_F(GpuProgram, RanksWithGpusOfTheirOwnTrainAsOnTheCpu) {
    const Words stage{"--strategy.zero-stage", "3"};
    const json gpu = result(mpirun_zerosim(2, with(training(kOnGpus), stage)));
    expect_as_on_cpu(gpu, result(mpirun_zerosim(2, with(training({"--device", "cpu"}), stage))));
    EXPECT_EQ(gpu.at("transport").at("used").at(0).at("path"), "pcie") << gpu.at("transport").dump();
}

// With a GPU for each rank the option changes nothing: they are not made hosts of their own, which would send NVLink's traffic over a socket.
TEST_F(GpuProgram, SharingThatIsAllowedAndNotNeededChangesNoPath) {
    const json gpu = result(mpirun_zerosim(2, with(training(kOnGpus, "1"), {"--share-device", "true"})));
    EXPECT_EQ(gpu.at("transport").at("used").at(0).at("path"), "pcie") << gpu.at("transport").dump();
}

TEST_F(GpuProgram, RegistersItsArenasWithNccl) {
    const json gpu = result(mpirun_zerosim(2, with(training(kOnGpus, "1"), {"--strategy.zero-stage", "3", "--register-buffers", "true"})));
    expect_as_on_cpu(gpu, result(mpirun_zerosim(2, with(training({"--device", "cpu"}, "1"), {"--strategy.zero-stage", "3"}))));
}

TEST_F(GpuProgram, CollectivesAreRightAndBesideNcclsOwn) {
    for (const char* registers : {"false", "true"}) {
        const json table = result(mpirun_zerosim(2, {"collectives", "--device", "cuda", "--kind", "all", "--root", "1", "--sizes", "8,4000,100K", "--repeats", "2", "--register-buffers", registers, "--format", "json"}));
        ASSERT_EQ(table.at("collectives").size(), 27u);
        for (const json& row : table.at("collectives")) {
            EXPECT_EQ(row.at("wrong"), 0) << row.dump();
            EXPECT_GT(row.at("raw_seconds").get<double>(), 0) << row.dump();
            EXPECT_EQ(row.contains("in_place"), row.at("kind") != "all-to-all" && row.at("kind") != "send-recv");
            EXPECT_EQ(row.value("in_place", json::object()).value("wrong", 0), 0) << row.dump();
        }
        EXPECT_THAT(table.at("origin").get<std::string>(), HasSubstr("over pcie"));
    }
}

TEST_F(GpuProgram, CollectivesAreHeldAgainstThePresetOfTheGpu) {
    const json table = result(mpirun_zerosim(2, {"collectives", "--device", "cuda", "--kind", "all-reduce", "--sizes", "1K", "--repeats", "1", "--compare", "--format", "json"},
                                             seeing("", {{"XDG_CONFIG_HOME", ::testing::TempDir()}})));
    EXPECT_THAT(table.at("origin").get<std::string>(), HasSubstr("predicted for cluster 'h200-sxm'"));
}

TEST_F(GpuProgram, ForcesThePathThatIsAskedFor) {
    const Outcome network = mpirun_zerosim(2, {"collectives", "--device", "cuda", "--kind", "all-reduce", "--sizes", "1K", "--repeats", "1", "--transport", "network"});
    EXPECT_EQ(network.exit_code, 0) << network.describe();
    EXPECT_THAT(network.output, HasSubstr("over network (NET/Socket)"));
}

class GpuProgramCalibrates : public GpuProgram, public ::testing::WithParamInterface<int> {};

// On GPUs of which the scratch of kernels leaves 4 MiB a rank, so that the emulated grid is soon done; what it wrote serves a simulation and a run.
TEST_P(GpuProgramCalibrates, AndItsFileServes) {
    const int ranks = GetParam();
    const std::string file = ::testing::TempDir() + "/zerosim-over-fakes-" + std::to_string(ranks) + ".cfg";
    const Words calibrate{"calibrate", "--device", "cuda", "--repeats", "1", "--output", file, "--format", "json"};
    const std::map<std::string, std::string> environment{{"FAKE_CUDA_BYTES", "20971520"}};
    const json found = result(ranks == 1 ? run_zerosim(calibrate, seeing("", environment)) : mpirun_zerosim(ranks, calibrate, seeing("", environment)));
    EXPECT_EQ(found.at("ranks"), ranks);
    EXPECT_GT(found.at("shrink"), 1);
    EXPECT_GT(found.at("copy_bytes_per_second"), 0.0);
    EXPECT_GT(found.at("issue_seconds"), 0.0);
    for (const json& row : found.at("kernels")) EXPECT_GT(row.at("seconds"), 0.0) << row.dump();
    EXPECT_EQ(found.at("collectives").empty(), ranks == 1);
    const json simulated = result(run_zerosim({"simulate", "--cluster", file, "--model", "gpt2-124m", "--ranks", "2", "--format", "json"}));
    EXPECT_GT(simulated.at("time").at("step_seconds"), 0.0);
    const json run = result(run_zerosim(with(training(kOnGpus), {"--cluster", file}), seeing("0")));
    EXPECT_GT(run.at("prediction").at("step_seconds"), 0.0);
}

INSTANTIATE_TEST_SUITE_P(Ranks, GpuProgramCalibrates, ::testing::Values(1, 2));

TEST_F(GpuProgram, DoctorNamesTheGpus) {
    const json facts = result(mpirun_zerosim(2, {"doctor", "--format", "json"})).at("facts");
    EXPECT_THAT(facts.dump(), AllOf(HasSubstr("NVIDIA H200"), HasSubstr("0000:1b:00.0"), HasSubstr("rank 1")));
}

TEST_F(GpuProgram, AThrowingRankIsNamed) {
    const Outcome outcome = mpirun_zerosim(2, with(training(kOnGpus), {"--strategy.zero-stage", "3", "--inject", "1:100:throw"}));
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_THAT(outcome.errors, ContainsRegex("\\[rank 1/2 [^]]+\\] error: step [0-9]+, op 100 .*injected failure"));
}

// The tests' NCCL blocks the host thread in a collective until its peers come, as NCCL does while it connects: nobody but the watch can end that.
TEST_F(GpuProgram, AHangingRankIsNamedThoughTheOthersAreStuckInNccl) {
    const Outcome outcome = mpirun_zerosim(2, with(training(kOnGpus), {"--strategy.zero-stage", "3", "--inject", "1:100:hang", "--timeout-seconds", "2"}));
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_THAT(outcome.errors, AllOf(HasSubstr("watchdog"), ContainsRegex("missing rank 1: is in step [0-9]+, op 100")));
}

// A context takes seconds on a busy machine: the watchdog's limit is for what runs. The tests' runtime keeps rank 1 for six.
TEST_F(GpuProgram, AShortTimeoutIsNotForTheStart) {
    const Outcome outcome = mpirun_zerosim(2, with(training(kOnGpus, "1"), {"--timeout-seconds", "4"}), seeing("", {{"FAKE_CUDA_SLOW_RANK", "1"}}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const Outcome table = mpirun_zerosim(2, {"collectives", "--device", "cuda", "--kind", "all-reduce", "--sizes", "1K", "--repeats", "1", "--timeout-seconds", "4"},
                                         seeing("", {{"FAKE_CUDA_SLOW_RANK", "1"}}));
    EXPECT_EQ(table.exit_code, 0) << table.describe();
}

TEST_F(GpuProgram, ALeavingRankEndsTheJob) {
    const Outcome outcome = mpirun_zerosim(2, with(training(kOnGpus), {"--strategy.zero-stage", "3", "--inject", "1:100:exit"}));
    EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_THAT(outcome.errors, HasSubstr("injected exit"));
}

TEST_F(GpuProgram, RefusesWhatItDoesNotDo) {
    const Outcome outcome = run_zerosim(training({"--device", "cuda", "--check-numerics", "true"}), seeing("0"));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
    EXPECT_THAT(outcome.errors, HasSubstr("check-numerics"));
}

}  // namespace
}  // namespace zerosim::testing
