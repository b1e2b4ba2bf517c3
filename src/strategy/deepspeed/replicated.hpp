// DeepSpeed stage 0: everything on every rank; gradients all-reduced in copies of about 5e8 elements after the last backward of a step.
// Built by plan_deepspeed. Sources: DeepSpeed runtime/engine.py (buffered_allreduce_fallback), runtime/fp16/fused_optimizer.py
// (FP16_Optimizer, which fp16 and bf16 use); fp32 has no wrapper around its optimizer.
#pragma once

#include "strategy/deepspeed/engine.hpp"
#include "strategy/torch/training_step.hpp"

#include <unordered_map>

namespace zerosim::strategy::deepspeed {

class Replicated {
public:
    Replicated(Engine& engine, torch::LanguageModel& model);
    void initialize();
    [[nodiscard]] torch::StepHooks hooks();

private:
    struct Flat {
        Group group;
        LayoutId layout;
        std::int64_t elements = 0;
        Value parameters, master, first_moment, second_moment;
    };
    [[nodiscard]] bool wrapped() const { return engine_.compute_dtype != DType::fp32; }
    void flatten(Flat& flat, std::unordered_map<const Parameter*, Value>& apart);
    void make_moments(Flat& flat);
    void reduce();
    void all_reduce(const std::vector<Parameter*>& parameters, std::int64_t elements);
    void step();
    void check_overflow();
    [[nodiscard]] Value wide_gradient(Flat& flat);
    void step_in_fp32();

    Engine& engine_;
    torch::LanguageModel& model_;
    std::vector<Flat> flats_;
    bool boundary_ = true;
};

} // namespace zerosim::strategy::deepspeed
