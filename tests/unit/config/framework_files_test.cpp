// accelerate YAML and torchtitan TOML: what they set, precedence, what is listed as unused and what is refused.
#include "fixture.hpp"

#include "config/accelerate_file.hpp"
#include "config/torchtitan_file.hpp"

#include <gmock/gmock.h>

namespace zerosim::config {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class FrameworkFiles : public Folder {
protected:
    Resolved simulate(std::vector<std::string> words, std::map<std::string, std::string> environment = {}) {
        words.insert(words.end(), {"--cluster", "h100-sxm"});
        return resolve_words(words, std::move(environment), Command::simulate);
    }
    Resolved accelerate(const std::string& text, std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"--accelerate", write("accelerate.yaml", text)});
        return simulate(std::move(more));
    }
    Resolved torchtitan(const std::string& text, std::vector<std::string> more = {"--ranks", "8"}) {
        more.insert(more.begin(), {"--torchtitan", write("job.toml", text)});
        return simulate(std::move(more));
    }
    std::string accelerate_error(const std::string& text) { return config_error([&] { static_cast<void>(accelerate(text)); }); }
    std::string torchtitan_error(const std::string& text) { return config_error([&] { static_cast<void>(torchtitan(text)); }); }
};

constexpr const char* kFsdp = R"(compute_environment: LOCAL_MACHINE
distributed_type: FSDP
downcast_bf16: 'no'
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_backward_prefetch: BACKWARD_POST
  fsdp_forward_prefetch: true
  fsdp_offload_params: true
  fsdp_sharding_strategy: SHARD_GRAD_OP
  fsdp_use_orig_params: false
  fsdp_activation_checkpointing: true
  fsdp_state_dict_type: SHARDED_STATE_DICT
mixed_precision: bf16
gradient_accumulation_steps: 4
num_machines: 2
num_processes: 8
)";

TEST_F(FrameworkFiles, AccelerateFsdp1) {
    const Resolved r = accelerate(kFsdp);
    const strategy::Strategy& s = r.scenario.strategy;
    EXPECT_EQ(s.system, strategy::System::fsdp);
    EXPECT_EQ(s.zero_stage, 2);
    EXPECT_EQ(s.parameters_at, strategy::Placement::cpu);
    EXPECT_EQ(s.optimizer_at, strategy::Placement::cpu);
    EXPECT_EQ(s.fsdp.backward_prefetch, strategy::FsdpOptions::BackwardPrefetch::post);
    EXPECT_TRUE(s.fsdp.forward_prefetch);
    EXPECT_FALSE(s.fsdp.original_parameters);
    EXPECT_EQ(s.sync_each_batch, false) << "accumulate() uses no_sync";
    EXPECT_EQ(r.scenario.training.gradient_accumulation, 4);
    EXPECT_EQ(r.scenario.training.reduce_precision, DType::bf16) << "accelerate reduces in the compute dtype";
    EXPECT_TRUE(r.scenario.training.recompute.applies(0));
    EXPECT_EQ(r.scenario.ranks, 8);
    EXPECT_EQ(r.scenario.cluster.devices_per_node, 4);
    EXPECT_EQ(r.scenario.cluster.software.name, "torch-2.11") << "not llm-foundry's stack";
    EXPECT_THAT(r.unused, AllOf(Contains("compute_environment"), Contains("downcast_bf16"), Contains("fsdp_config.fsdp_state_dict_type")));
    EXPECT_THAT(value_of(r, "strategy.zero-stage").origin, HasSubstr("accelerate.yaml:9: fsdp_config.sharding_strategy"));
}

TEST_F(FrameworkFiles, AccelerateFsdp2AndHybrid) {
    const Resolved second = accelerate("distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n  fsdp_reshard_after_forward: false\nnum_processes: 8\nmixed_precision: bf16\n");
    EXPECT_EQ(second.scenario.strategy.system, strategy::System::fsdp2);
    EXPECT_EQ(second.scenario.strategy.zero_stage, 2);
    const Resolved hybrid = accelerate("distributed_type: FSDP\nfsdp_config:\n  fsdp_sharding_strategy: 4\nnum_processes: 16\nnum_machines: 2\n");
    EXPECT_EQ(hybrid.scenario.strategy.zero_stage, 3);
    EXPECT_EQ(hybrid.scenario.strategy.shard_group, 8);
}

TEST_F(FrameworkFiles, AccelerateDdpDeepSpeedAndMegatron) {
    EXPECT_EQ(accelerate("distributed_type: MULTI_GPU\nnum_processes: 4\nmixed_precision: fp16\n").scenario.strategy.system, strategy::System::ddp);
    const Resolved plain = accelerate("distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n  offload_optimizer_device: cpu\n  gradient_clipping: 0.7\n"
                                      "num_processes: 4\nmixed_precision: bf16\n");
    EXPECT_EQ(plain.scenario.strategy.system, strategy::System::deepspeed);
    EXPECT_EQ(plain.scenario.strategy.zero_stage, 3);
    EXPECT_EQ(plain.scenario.strategy.optimizer_at, strategy::Placement::cpu);
    EXPECT_DOUBLE_EQ(plain.scenario.training.clip_gradients, 0.7);
    write("ds.json", R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": 1e6}, "bf16": {"enabled": true}, "steps_per_print": 10})");
    const Resolved file = accelerate("distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\nnum_processes: 4\n");
    EXPECT_EQ(file.scenario.strategy.zero_stage, 2);
    EXPECT_EQ(file.scenario.strategy.deepspeed.reduce_bucket, 1'000'000);
    EXPECT_THAT(file.unused, Contains(HasSubstr("steps_per_print")));
    const Resolved megatron = accelerate("distributed_type: MEGATRON_LM\nmegatron_lm_config:\n  megatron_lm_use_distributed_optimizer: true\n"
                                         "  megatron_lm_recompute_activations: true\nnum_processes: 4\nmixed_precision: bf16\n");
    EXPECT_EQ(megatron.scenario.strategy.system, strategy::System::megatron);
    EXPECT_EQ(megatron.scenario.strategy.zero_stage, 1);
    EXPECT_TRUE(megatron.scenario.training.recompute.selective);
}

TEST_F(FrameworkFiles, TrainersArguments) {
    const Resolved r = accelerate("fsdp: full_shard auto_wrap offload\nper_device_train_batch_size: 2\ngradient_checkpointing: true\nbf16: true\noptim: adamw_torch\n"
                                  "max_grad_norm: 0.5\nlearning_rate: 1e-5\nnum_processes: 4\nmodel_name_or_path: somewhere\n",
                                  {"--train.micro-batch", "3"});
    EXPECT_EQ(r.scenario.strategy.system, strategy::System::fsdp);
    EXPECT_EQ(r.scenario.strategy.zero_stage, 3);
    EXPECT_EQ(r.scenario.strategy.parameters_at, strategy::Placement::cpu);
    EXPECT_EQ(r.scenario.training.micro_batch, 3) << "the command line wins";
    EXPECT_EQ(r.scenario.training.optimizer, strategy::Optimizer::adamw_foreach);
    EXPECT_THAT(r.unused, Contains("model_name_or_path"));
}

TEST_F(FrameworkFiles, AccelerateContradictionsAndMistakesNameFileLineAndKey) {
    EXPECT_THAT(accelerate_error("mixed_precision: bf16\nfp16: true\n"), AllOf(HasSubstr("accelerate.yaml:2: fp16"), HasSubstr("accelerate.yaml:1: mixed_precision")));
    EXPECT_THAT(accelerate_error("distributed_type: FSDP\nfsdp_config:\n  fsdp_shardingstrategy: 1\n"), AllOf(HasSubstr(":3:"), HasSubstr("sharding_strategy")));
    EXPECT_THAT(accelerate_error("distributed_type: FSPD\n"), HasSubstr("FSDP"));
    EXPECT_THAT(accelerate_error("mixed_precision: [\n"), HasSubstr("not YAML"));
    EXPECT_THAT(accelerate_error("num_processes: 4\nnum_processes: 8\n"), AllOf(HasSubstr("accelerate.yaml:2: num_processes"), HasSubstr("first in line 1")));
    EXPECT_THAT(accelerate_error("distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 1\n  version: 2\n"), HasSubstr("stands twice"));
    EXPECT_THAT(accelerate_error("distributed_type: FSDP\nfsdp_config:\n  fsdp_auto_wrap_policy: NO_WRAP\n"), HasSubstr("NO_WRAP"));
    EXPECT_THAT(accelerate_error("distributed_type: MEGATRON_LM\nmegatron_lm_config:\n  megatron_lm_tp_degree: 2\n"), HasSubstr("parallel.tensor"));
    EXPECT_THAT(accelerate_error("distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n  zero_stage: 3\n"), HasSubstr("zero_stage"));
    EXPECT_THAT(config_error([&] { static_cast<void>(simulate({"--accelerate", "nowhere.yaml"})); }), HasSubstr("nowhere.yaml"));
}

constexpr const char* kJob = R"([job]
dump_folder = "./outputs"
[model]
name = "llama3"
flavor = "8B"
[optimizer]
name = "AdamW"
lr = 3e-4
[training]
local_batch_size = 2
seq_len = 8192
max_norm = 1.0
dataset = "c4"
[parallelism]
data_parallel_replicate_degree = 2
data_parallel_shard_degree = 4
fsdp_reshard_after_forward = "never"
[activation_checkpoint]
mode = "selective"
selective_ac_option = "op"
[compile]
enable = true
components = ["model", "loss"]
)";

TEST_F(FrameworkFiles, Torchtitan) {
    const Resolved r = torchtitan(kJob, {});
    EXPECT_EQ(r.scenario.strategy.system, strategy::System::fsdp2);
    EXPECT_EQ(r.scenario.strategy.zero_stage, 2);
    EXPECT_EQ(r.scenario.ranks, 8);
    EXPECT_EQ(r.scenario.strategy.shard_group, 4);
    EXPECT_EQ(r.scenario.model.name, "llama3.1-8b");
    EXPECT_EQ(r.scenario.training.micro_batch, 2);
    EXPECT_EQ(r.scenario.training.sequence_length, 8192);
    EXPECT_TRUE(r.scenario.training.recompute.selective);
    EXPECT_TRUE(r.scenario.training.compile);
    EXPECT_DOUBLE_EQ(r.scenario.training.clip_gradients, 1.0);
    EXPECT_THAT(r.unused, AllOf(Contains("job.dump_folder"), Contains("training.dataset"), Not(Contains("training.seq_len"))));
    EXPECT_THAT(value_of(r, "train.micro-batch").origin, HasSubstr("job.toml:10: training.local_batch_size"));
}

TEST_F(FrameworkFiles, TorchtitanFloat8LayersAndOffload) {
    const Resolved r = torchtitan("[model]\nconverters = [\"float8\"]\n[training]\nenable_cpu_offload = true\n[activation_checkpoint]\nmode = \"selective\"\n"
                                  "selective_ac_option = \"3\"\n[optimizer]\nimplementation = \"foreach\"\n");
    EXPECT_TRUE(r.scenario.training.fp8_products);
    EXPECT_EQ(r.scenario.strategy.parameters_at, strategy::Placement::cpu);
    EXPECT_EQ(r.scenario.training.recompute.every, 3);
    EXPECT_EQ(r.scenario.training.optimizer, strategy::Optimizer::adamw_foreach);
}

TEST_F(FrameworkFiles, TorchtitanMistakesNameFileLineAndKey) {
    EXPECT_THAT(torchtitan_error("[parallelism]\ndata_parallel_shards_degree = 2\n"), AllOf(HasSubstr("job.toml:2"), HasSubstr("data_parallel_shard_degree")));
    EXPECT_THAT(torchtitan_error("[parallelism]\ntensor_parallel_degree = 2\n"), HasSubstr("parallel.tensor"));
    EXPECT_THAT(torchtitan_error("[parallelism]\ndata_parallel_replicate_degree = 2\n"), HasSubstr("data_parallel_shard_degree"));
    EXPECT_THAT(torchtitan_error("[training\n"), HasSubstr("not TOML"));
    EXPECT_THAT(torchtitan_error("[activation_checkpoint]\nmode = \"sometimes\"\n"), HasSubstr("selective"));
    EXPECT_THAT(config_error([&] { static_cast<void>(simulate({"--accelerate", write("a.yaml", "num_processes: 2\n"), "--torchtitan", write("b.toml", "")})); }),
                HasSubstr("second description"));
}

}  // namespace
}  // namespace zerosim::config
