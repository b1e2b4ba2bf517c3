// Jobs beside the common ones - offload, drives, experts, adapters, 8 bits, inference, stragglers - on unlike devices: their time reports hold no nonsense.
#include "cli/subprocess.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using nlohmann::json;

struct Job {
    const char* name;
    std::vector<std::string> arguments;
};

std::vector<std::string> systems(const char* system, const char* stage) { return {"--strategy.system", system, "--strategy.zero-stage", stage}; }

std::vector<std::string> joined(std::vector<std::string> arguments, const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

std::vector<Job> jobs() {
    const std::vector<std::string> small{"--model", "gpt2-350m", "--ranks", "8"};
    const auto job = [&](const char* system, const char* stage, const std::vector<std::string>& more) { return joined(joined(small, systems(system, stage)), more); };
    const std::vector<std::string> to_host{"--strategy.offload-optimizer", "cpu", "--strategy.offload-parameters", "cpu"};
    const std::vector<std::string> to_drives{"--strategy.offload-optimizer", "nvme", "--strategy.offload-parameters", "nvme"};
    return {{"zero_offload", job("deepspeed", "2", {"--cluster", "a100-sxm-80gb", "--strategy.offload-optimizer", "cpu", "--train.gradient-accumulation", "3"})},
            {"deepspeed_host", job("deepspeed", "3", joined(to_host, {"--cluster", "v100-sxm-32gb", "--train.precision", "fp16-mixed"}))},
            {"zero_infinity", job("deepspeed", "3", joined(to_drives, {"--cluster", "mi250x"}))},
            {"fsdp2_host", job("fsdp2", "3", joined(to_host, {"--cluster", "h100-sxm"}))},
            {"adapters", job("fsdp2", "3", {"--cluster", "rtx4090-pcie", "--train.lora-rank", "16", "--train.lora-targets", "all"})},
            {"pure_bf16", job("fsdp2", "3", {"--cluster", "mi300x", "--train.precision", "bf16"})},
            {"eight_bits", job("fsdp2", "3", {"--cluster", "b200", "--train.precision", "fp8-mixed"})},
            {"compiled", job("ddp", "0", {"--cluster", "a10-pcie", "--train.compile", "true"})},
            {"experts", joined({"--model", "mixtral-8x7b", "--ranks", "64", "--cluster", "gb200-nvl72"}, systems("fsdp2", "3"))},
            {"stragglers", job("zerosim", "3", {"--cluster", "l40s-pcie", "--variation.jitter", "0.2", "--variation.slow-ranks", "3:1.5"})},
            {"one_rank", {"--model", "gpt2-350m", "--cluster", "h100-pcie", "--train.recompute", "full"}},
            {"inference", {"--model", "llama2-7b", "--cluster", "l4-pcie", "--mode", "inference", "--inference.batch", "4"}}};
}

json simulated(const Job& job, const std::vector<std::string>& more = {}) {
    const Outcome outcome = run_zerosim(joined({"simulate", "--format", "json"}, joined(job.arguments, more)));
    EXPECT_EQ(outcome.exit_code, 0) << job.name << ": " << outcome.describe();
    const json object = json::parse(outcome.output, nullptr, false);
    return object.is_object() ? object : json::object();
}

double sum(const json& rows) {
    double total = 0;
    for (const json& row : rows) {
        EXPECT_GE(row.at("seconds").get<double>(), 0) << row;
        total += row.at("seconds").get<double>();
    }
    return total;
}

void expect_times(const json& time) {
    const double step = time.at("step_seconds");
    EXPECT_GT(step, 0);
    for (const char* part : {"forward_seconds", "backward_seconds", "optimizer_seconds", "compute_seconds", "communication_seconds", "exposed_communication_seconds"}) {
        EXPECT_GE(time.at(part).get<double>(), 0) << part;
        EXPECT_LE(time.at(part).get<double>(), step * (1 + 1e-9)) << part;
    }
    EXPECT_LE(time.at("exposed_communication_seconds").get<double>(), time.at("communication_seconds").get<double>() * (1 + 1e-9));
    EXPECT_LE(time.value("step_seconds_low", step), step);
    EXPECT_GE(time.value("step_seconds_high", step), step);
}

void expect_utilization(const json& throughput) {
    const double model = throughput.at("model_flops_utilization"), hardware = throughput.at("hardware_flops_utilization");
    EXPECT_GT(model, 0);
    EXPECT_LT(hardware, 1);
    EXPECT_GT(hardware, 0.95 * model) << "kernels do at least what the model asks for";
    EXPECT_GE(throughput.value("model_flops_utilization_of_16_bit_peak", 1.0), model);
}

void PrintTo(const Job& job, std::ostream* stream) { *stream << job.name; }

class OddJob : public ::testing::TestWithParam<Job> {};

TEST_P(OddJob, ItsReportHoldsNoNonsense) {
    const json result = simulated(GetParam());
    ASSERT_TRUE(result.contains("time"));
    expect_times(result["time"]);
    expect_utilization(result.at("throughput"));
    const double step = result["time"].at("step_seconds");
    EXPECT_NEAR(sum(result.at("breakdown")), step, 1e-9 * step + 1e-12);
    EXPECT_NEAR(sum(result.at("critical_path").at("parts")), result["critical_path"].at("step_seconds").get<double>(), 1e-9 * step + 1e-12);
    for (const json& row : result.at("roofline")) EXPECT_LE(row.at("roof_fraction").get<double>(), 1 + 1e-6) << row;
    for (const json& row : result.at("communication").at("collectives")) EXPECT_GE(row.at("hidden_seconds").get<double>(), 0) << row;
}

TEST_P(OddJob, MoreWorkTakesLonger) {
    const bool inference = std::string(GetParam().name) == "inference";
    const char* key = inference ? "--inference.prompt-tokens" : "--train.micro-batch";
    double before = 0;
    for (const char* value : inference ? std::vector<const char*>{"256", "512", "1024"} : std::vector<const char*>{"1", "2", "4"}) {
        const json result = simulated(GetParam(), {key, value});
        ASSERT_TRUE(result.contains("time"));
        const double step = result["time"].at("step_seconds");
        EXPECT_GT(step, 0.999 * before) << key << ' ' << value; // bound by the host or the drives it may stay
        before = step;
    }
}

INSTANTIATE_TEST_SUITE_P(All, OddJob, ::testing::ValuesIn(jobs()), [](const auto& test) { return test.param.name; });

} // namespace
} // namespace zerosim::testing
