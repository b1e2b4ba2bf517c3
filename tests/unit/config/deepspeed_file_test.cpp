// DeepSpeed JSON files: what they set, "auto", precedence, what is listed as unused and what is refused.
#include "fixture.hpp"

#include "config/deepspeed_file.hpp"

#include <gmock/gmock.h>

namespace zerosim::config {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DeepSpeedJson : public Folder {
protected:
    Resolved simulate(const std::string& text, std::vector<std::string> more = {}, std::map<std::string, std::string> environment = {}) {
        std::vector<std::string> words{"--deepspeed", write("ds.json", text), "--cluster", "h100-sxm", "--ranks", "8"};
        words.insert(words.end(), more.begin(), more.end());
        return resolve_words(words, std::move(environment), Command::simulate);
    }
    std::string error(const std::string& text, std::vector<std::string> more = {}) {
        return config_error([&] { static_cast<void>(simulate(text, std::move(more))); });
    }
    std::string value(const Resolved& resolved, const char* key) { return value_of(resolved, key).value; }
};

TEST_F(DeepSpeedJson, SetsWhatItNames) {
    const Resolved r = simulate(R"({
        "train_batch_size": 64, "train_micro_batch_size_per_gpu": 2, "gradient_clipping": 0.5,
        "bf16": {"enabled": true},
        "optimizer": {"type": "AdamW", "params": {"lr": 2e-4, "betas": [0.8, 0.99], "eps": 1e-7, "weight_decay": "3e-2"}},
        "zero_optimization": {"stage": 3, "reduce_bucket_size": "2e8", "stage3_prefetch_bucket_size": 1e7, "stage3_param_persistence_threshold": 1e4,
            "stage3_max_live_parameters": 5e8, "stage3_max_reuse_distance": 4e8, "sub_group_size": 2e9, "overlap_comm": false,
            "stage3_model_persistence_threshold": 9223372036854775807, "contiguous_gradients": false,
            "offload_optimizer": {"device": "cpu", "pin_memory": false, "ratio": 0.75}, "offload_param": {"device": "cpu"}}})");
    const strategy::Strategy& s = r.scenario.strategy;
    EXPECT_EQ(s.system, strategy::System::deepspeed);
    EXPECT_EQ(s.zero_stage, 3);
    EXPECT_EQ(s.deepspeed.reduce_bucket, 200'000'000);
    EXPECT_EQ(s.deepspeed.prefetch_bucket, 10'000'000);
    EXPECT_EQ(s.deepspeed.persistence_threshold, 10'000);
    EXPECT_EQ(s.deepspeed.max_live, 500'000'000);
    EXPECT_EQ(s.deepspeed.max_reuse_distance, 400'000'000);
    EXPECT_EQ(s.deepspeed.sub_group, 2'000'000'000);
    EXPECT_EQ(s.deepspeed.overlap, false);
    EXPECT_EQ(s.deepspeed.model_persistence_threshold, INT64_MAX);
    EXPECT_FALSE(s.deepspeed.contiguous_gradients);
    EXPECT_FALSE(s.deepspeed.pin_memory);
    EXPECT_DOUBLE_EQ(s.deepspeed.offload_ratio, 0.75);
    EXPECT_EQ(s.parameters_at, strategy::Placement::cpu);
    EXPECT_EQ(s.optimizer_at, strategy::Placement::cpu);
    const strategy::Training& t = r.scenario.training;
    EXPECT_EQ(t.micro_batch, 2);
    EXPECT_EQ(t.gradient_accumulation, 4) << "64 = 8 ranks x 2 x 4";
    EXPECT_DOUBLE_EQ(t.learning_rate, 2e-4);
    EXPECT_DOUBLE_EQ(t.beta1, 0.8);
    EXPECT_DOUBLE_EQ(t.beta2, 0.99);
    EXPECT_DOUBLE_EQ(t.weight_decay, 0.03);
    EXPECT_DOUBLE_EQ(t.clip_gradients, 0.5);
    EXPECT_EQ(t.precision, strategy::Precision::bf16_mixed);
    EXPECT_THAT(value_of(r, "strategy.sub-group-size").origin, HasSubstr("ds.json: zero_optimization.sub_group_size"));
    EXPECT_THAT(r.unused, ElementsAre(HasSubstr("strategy.contiguous-gradients"))) << "stage 3 is planned with them";
}

TEST_F(DeepSpeedJson, DefaultsAreDeepSpeeds) {
    const Resolved r = simulate(R"({"zero_optimization": {"stage": 2}})");
    EXPECT_EQ(r.scenario.strategy.deepspeed, strategy::DeepSpeedOptions{});
    EXPECT_EQ(r.scenario.training.precision, strategy::Precision::fp32) << "neither fp16 nor bf16";
    EXPECT_DOUBLE_EQ(r.scenario.training.clip_gradients, 1) << "gradient_clipping is 1 since DeepSpeed 0.19";
    EXPECT_EQ(value(r, "strategy.overlap-communication"), "false");
    EXPECT_EQ(value(simulate(R"({"zero_optimization": {"stage": 3}})"), "strategy.overlap-communication"), "true");
}

// transformers' trainer_config_finalize, gpt2-124m: hidden 768.
TEST_F(DeepSpeedJson, AutoFollowsTheTrainer) {
    const Resolved r = simulate(R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto", "bf16": {"enabled": "auto"}, "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "weight_decay": "auto"}},
        "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"}})",
                                {"--model", "gpt2-124m", "--train.micro-batch", "4", "--train.precision", "fp16-mixed"});
    EXPECT_EQ(r.scenario.strategy.deepspeed.reduce_bucket, 768 * 768);
    EXPECT_EQ(r.scenario.strategy.deepspeed.prefetch_bucket, 530'841) << "0.9 x 768 x 768, cut off";
    EXPECT_EQ(r.scenario.strategy.deepspeed.persistence_threshold, 7680);
    EXPECT_EQ(r.scenario.training.micro_batch, 4);
    EXPECT_EQ(r.scenario.training.precision, strategy::Precision::fp16_mixed);
    EXPECT_DOUBLE_EQ(r.scenario.training.clip_gradients, 0) << "the option's, as the Trainer's max_grad_norm would be";
}

TEST_F(DeepSpeedJson, LiesBetweenScenarioFileAndEnvironment) {
    const std::string scenario = write("s.cfg", "[strategy]\nsub-group-size = 1e6\nzero-stage = 1\n[train]\nmicro-batch = 3\n");
    const std::string text = R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3, "sub_group_size": 2e6}})";
    const Resolved r = simulate(text, {scenario});
    EXPECT_EQ(r.scenario.strategy.deepspeed.sub_group, 2'000'000);
    EXPECT_EQ(r.scenario.strategy.zero_stage, 3);
    EXPECT_EQ(r.scenario.training.micro_batch, 3) << "not in the JSON";
    EXPECT_EQ(simulate(text, {scenario}, {{"ZEROSIM_STRATEGY_SUB_GROUP_SIZE", "3e6"}}).scenario.strategy.deepspeed.sub_group, 3'000'000);
    EXPECT_EQ(
        simulate(text, {"--strategy.sub-group-size", "4e6"}, {{"ZEROSIM_STRATEGY_SUB_GROUP_SIZE", "3e6"}}).scenario.strategy.deepspeed.sub_group,
        4'000'000);
}

TEST_F(DeepSpeedJson, DeprecatedNamesWork) {
    const strategy::Strategy s =
        simulate(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3, "cpu_offload": true, "cpu_offload_params": true,
        "cpu_offload_use_pin_memory": false, "stage3_gather_fp16_weights_on_model_save": true}})")
            .scenario.strategy;
    EXPECT_EQ(s.optimizer_at, strategy::Placement::cpu);
    EXPECT_EQ(s.parameters_at, strategy::Placement::cpu);
    EXPECT_FALSE(s.deepspeed.pin_memory);
}

TEST_F(DeepSpeedJson, WhatHasNoEffectIsListed) {
    const Resolved r =
        simulate(R"({"bf16": {"enabled": true}, "steps_per_print": 10, "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 5}},
        "my_own_key": 1, "zero_optimization": {"stage": 2, "allgather_partitions": true}})");
    EXPECT_THAT(r.unused, ::testing::UnorderedElementsAre("steps_per_print", "scheduler", "my_own_key", "zero_optimization.allgather_partitions"));
    EXPECT_THAT(r.notes, Contains(HasSubstr("my_own_key has no effect here")));
}

TEST_F(DeepSpeedJson, WhatOtherStagesReadIsListed) {
    const std::string text = R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 2, "stage3_max_live_parameters": 1e8, "reduce_bucket_size": 1e8,
        "sub_group_size": 1e9, "round_robin_gradients": true}})";
    EXPECT_THAT(simulate(text).unused, ::testing::UnorderedElementsAre(AllOf(HasSubstr("strategy.max-live-parameters"), HasSubstr("stage3_max_live_parameters"),
                                                                             HasSubstr("zero-stage 2")),
                                                                       HasSubstr("strategy.sub-group-size")));
    const Resolved third = simulate(text, {"--strategy.zero-stage", "3"});   // the stage that is planned decides, not the file's
    EXPECT_THAT(third.unused, ElementsAre(HasSubstr("strategy.round-robin-gradients")));
    EXPECT_THAT(third.notes, Contains(HasSubstr("at strategy.zero-stage 3 has no effect here")));
    const Resolved gathers = simulate(R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 2, "allgather_bucket_size": 2e8}})");
    EXPECT_THAT(gathers.unused, ElementsAre(HasSubstr("strategy.allgather-bucket-size"))) << "groups are gathered in one call";
}

TEST_F(DeepSpeedJson, WhatOffloadAloneReadsIsListedWithoutIt) {
    const std::string text = R"({"bf16": {"enabled": true}, "zero_optimization": {"stage": 3}})";
    EXPECT_THAT(simulate(text, {"--strategy.deepspeed-release", "0.16"}).unused, ElementsAre(AllOf(HasSubstr("strategy.deepspeed-release"), HasSubstr("without offload"))));
    const Resolved offloads = simulate(text, {"--strategy.deepspeed-release", "0.16", "--strategy.offload-optimizer", "cpu"});
    EXPECT_TRUE(offloads.unused.empty());
    EXPECT_FALSE(offloads.scenario.strategy.deepspeed.pin_memory) << "until pull request 8207";
}

TEST_F(DeepSpeedJson, KeysThatStandTwiceAreRefusedWithTheirLine) {
    const std::string text = "{\n  \"bf16\": {\"enabled\": true},\n  // a comment\n  \"zero_optimization\": {\"stage\": 2,\n    \"stage\": 3}\n}";
    EXPECT_THAT(error(text), AllOf(HasSubstr("ds.json:5:"), HasSubstr("key 'stage' stands twice")));
    EXPECT_THAT(error("{\n\"bf16\": {\"enabled\": true},\n]"), HasSubstr("ds.json:3: not a JSON file"));
    EXPECT_EQ(simulate(R"({"bf16": {"enabled": true}, "fp16": {"enabled": false}})").scenario.training.precision, strategy::Precision::bf16_mixed)
        << "one key in two objects is no repetition";
}

TEST_F(DeepSpeedJson, WrongNamesAndValuesAreErrors) {
    EXPECT_THAT(error(R"({"zero_optimization": {"stag": 2}})"),
                AllOf(HasSubstr("ds.json: 'zero_optimization.stag'"), HasSubstr("did you mean 'stage'")));
    EXPECT_THAT(error(R"({"zero_optimisation": {"stage": 2}})"), HasSubstr("did you mean 'zero_optimization'"));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": 5}})"),
                AllOf(HasSubstr("zero_optimization.stage"), HasSubstr("'5' is not an integer from 0 to 3")));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": 2, "overlap_comm": "perhaps"}})"), HasSubstr("not true or false"));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 8}})"), HasSubstr("zerosim plans 1 only"));
    EXPECT_THAT(error(R"({"optimizer": {"type": "Lamb"}})"), HasSubstr("optimizer.type"));
    EXPECT_THAT(error(R"({"fp16": {"enabled": true}, "bf16": {"enabled": true}})"), HasSubstr("both true"));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "disk"}}})"), HasSubstr("not none, cpu or nvme"));
    EXPECT_THAT(error(R"({"train_batch_size": 30, "train_micro_batch_size_per_gpu": 2})"), HasSubstr("train.global-batch '30'"));
    EXPECT_THAT(error(R"({"zero_optimization": true})"), HasSubstr("'zero_optimization' is true: a section is an object of settings"));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": "auto"}})"), HasSubstr("give 0, 1, 2 or 3"));
    EXPECT_THAT(error(R"({"tensor_parallel": {"autotp_size": 4}})"), HasSubstr("'tensor_parallel.autotp_size' is 4"));
    EXPECT_THAT(error("{"), HasSubstr("not a JSON file"));
    EXPECT_THAT(config_error([] { static_cast<void>(read_deepspeed_file("/nowhere/ds.json")); }), HasSubstr("cannot be read"));
}

TEST_F(DeepSpeedJson, WhatCannotBeRunIsRefusedByRunAlone) {
    const auto words = [](const char* key, const char* value) {
        return std::vector<std::string>{"--strategy.system", "deepspeed", "--strategy.zero-stage", "2", key, value};
    };
    EXPECT_THAT(config_error([&] { static_cast<void>(resolve_words(words("--train.precision", "fp16-mixed"))); }),
                HasSubstr("loss scaling is not planned"));
    EXPECT_THAT(config_error([&] { static_cast<void>(resolve_words(words("--strategy.multi-rank-bucket-allreduce", "false"))); }),
                HasSubstr("can be simulated, not run"));
    EXPECT_FALSE(resolve_words(words("--strategy.multi-rank-bucket-allreduce", "false"), {}, Command::simulate)
                     .scenario.strategy.deepspeed.multi_rank_allreduce);
}

TEST_F(DeepSpeedJson, ItsOptionsConcernNoOtherSystem) {
    EXPECT_THAT(config_error([] {
                    static_cast<void>(resolve_words({"--strategy.sub-group-size", "1e6"}, {}, Command::simulate));
                }),
                HasSubstr("concerns strategy.system deepspeed"));
    EXPECT_THAT(error(R"({"zero_optimization": {"stage": 2}})", {"--strategy.system", "ddp"}), HasSubstr("concerns strategy.system deepspeed"));
}

TEST_F(DeepSpeedJson, OptionsThatAPlannerWouldIgnoreAreRefused) {
    for (const char* system : {"fsdp", "fsdp2", "megatron", "deepspeed"}) {
        const auto words = [&] {
            static_cast<void>(resolve_words({"--strategy.system", system, "--strategy.bucket-cap-mib", "10"}, {}, Command::simulate));
        };
        EXPECT_THAT(config_error(words), HasSubstr("strategy.bucket-cap-mib")) << system;
        EXPECT_THAT(config_error([&] {
                        static_cast<void>(resolve_words({"--strategy.system", system, "--strategy.prefetch-depth", "2"}, {}, Command::simulate));
                    }),
                    HasSubstr("strategy.prefetch-depth")) << system;
    }
}

} // namespace
} // namespace zerosim::config
