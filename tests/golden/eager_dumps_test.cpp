// What PyTorch's and Megatron-LM's systems issue for a model of one block in a steady step, on two ranks.
#include "golden.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "support/scenarios.hpp"

namespace zerosim {
namespace {

strategy::Scenario one_block(const model::Model& model, strategy::System system, int stage) {
    auto s = test::scenario(model, stage, 2);
    s.model.layers = 1;
    s.strategy.system = system;
    s.training.precision = strategy::Precision::bf16_mixed;
    return s;
}

void expect_steady(const std::string& name, const strategy::Scenario& s) {
    const auto schedule = strategy::plan(s);
    const std::string text = schedule::dump_text(schedule, 0);
    test::expect_golden(name, text.substr(text.find("segment steady")));
}

TEST(EagerDump, Ddp) {
    auto s = one_block(test::tiny_llama(), strategy::System::ddp, 0);
    s.strategy.bucket_cap_mib = 0.003;
    ASSERT_TRUE(schedule::validate(strategy::plan(s)).empty());
    expect_steady("ddp-stage0.txt", s);
}

TEST(EagerDump, FsdpFullShard) {
    const auto s = one_block(test::tiny_gpt2(true), strategy::System::fsdp, 3);
    ASSERT_TRUE(schedule::validate(strategy::plan(s)).empty());
    expect_steady("fsdp-stage3.txt", s);
}

TEST(EagerDump, Fsdp2Stage3) {
    const auto s = one_block(test::tiny_llama(), strategy::System::fsdp2, 3);
    ASSERT_TRUE(schedule::validate(strategy::plan(s)).empty());
    expect_steady("fsdp2-stage3.txt", s);
}

// As on GPUs.
TEST(EagerDump, MegatronDistributedOptimizer) {
    auto s = one_block(test::tiny_llama(), strategy::System::megatron, 1);
    s.model.implementation = model::Implementation::megatron;
    s.library = kernel::Library::cuda;
    s.strategy.megatron.bucket_elements = 1000;
    ASSERT_TRUE(schedule::validate(strategy::plan(s)).empty());
    expect_steady("megatron-stage1.txt", s);
}

}  // namespace
}  // namespace zerosim
