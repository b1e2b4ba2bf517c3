// Megatron-LM's mixed precision optimizer over this rank's parts of the parameters: fp32 main parameters, moments, clipping.
// Built by the planner of `megatron`.
// Knows no collective of parameters or gradients: see buffers.hpp.
// Source: megatron/core/optimizer/{distrib_optimizer,optimizer,clip_grads}.py with FusedAdam.
#pragma once

#include "strategy/megatron/buffers.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy::megatron {

class MixedPrecisionOptimizer {
public:
    MixedPrecisionOptimizer(Tape& tape, Buffers& buffers, const Layout& layout, const Scenario& scenario)
        : tape_(tape), buffers_(buffers), layout_(layout), scenario_(scenario) {}
    /// Init: fp32 copies of this rank's parts, one tensor each.
    void make_main_parameters();
    void step();
    /// zero_grad: fp32 copies of gradients that are reduced in 2 bytes.
    void drop_gradients();

private:
    [[nodiscard]] bool has_main_parameters() const { return layout_.parameter_dtype != DType::fp32; }
    void declare_trained();
    void copy_gradients();
    void clip();
    [[nodiscard]] Value squared_norm(const kernel::Attributes& attributes);
    [[nodiscard]] TensorId gradient(std::size_t part) const { return main_gradients_.empty() ? parts_[part].gradient : main_gradients_[part]; }
    void make_moments();

    Tape& tape_;
    Buffers& buffers_;
    Layout layout_;
    const Scenario& scenario_;
    std::vector<OwnedPart> parts_;
    std::vector<Value> main_parameters_, first_moments_, second_moments_;
    std::vector<TensorId> main_gradients_;   // of storages that live from one step's end to the next one's beginning
    bool holds_gradients_ = false;
};

}  // namespace zerosim::strategy::megatron
