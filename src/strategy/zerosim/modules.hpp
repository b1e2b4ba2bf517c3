// Modules: the ops of a transformer's forward and backward, module by module: embedding, blocks, head. GPT-2 and Llama families.
// Driven by plan_zerosim; asks Gathers for parameters and Reductions for gradient buffers.
// Keeps what backward needs (docs/schedule.md); knows nothing of stages or ranks.
#pragma once

#include "strategy/zerosim/gathers.hpp"
#include "strategy/zerosim/reductions.hpp"

#include <map>
#include <vector>

namespace zerosim::strategy::zerosim_system {

class Modules {
public:
    Modules(Context& context, Emitter& emitter, Gathers& gathers, Reductions& reductions, const States& states);

    /// The residual stream entering block 0. Reads `tokens`.
    TensorId embedding_forward();
    /// Consumes nothing: `x` stays for backward. With keep = false only `x` is kept (recompute).
    TensorId block_forward(int layer, TensorId x, bool keep);
    /// Final norm, logits, loss.
    void head_forward(TensorId x);

    /// Gradients flow as one tensor of the residual stream's shape, updated in place; freed by embedding_backward.
    TensorId head_backward();
    /// Recomputes the block first where block_forward kept nothing.
    void block_backward(int layer, TensorId gradient);
    void embedding_backward(TensorId gradient);

private:
    struct NormSaved {
        TensorId y, mean, rstd;
    };
    struct BlockSaved {
        TensorId x, middle;              // input; after the attention's residual
        NormSaved norm1, norm2;
        TensorId qkv;                    // fused projection (gpt2), else invalid
        TensorId q, k, v, attention, log_sum_exp;
        TensorId up, gate, activated;
        bool kept = false;
    };
    struct Linear {                      // y = x W^T + b of one parameter pair
        std::string_view name;
        model::Site weight, bias;
        bool has_bias;
        std::int64_t in, out;
    };

    // attention_part.cpp
    TensorId attention_forward(int layer, TensorId x, BlockSaved& saved, bool keep);
    void attention_backward(int layer, BlockSaved& saved, TensorId gradient);
    void project_qkv(int layer, TensorId normed, BlockSaved& saved);
    // mlp_part.cpp
    TensorId mlp_forward(int layer, TensorId middle, BlockSaved& saved, bool keep, bool stop_early);
    void mlp_backward(int layer, BlockSaved& saved, TensorId gradient);
    // pieces.cpp
    TensorId linear_forward(int layer, const Linear& linear, TensorId x, std::string_view output, Role role);
    void linear_backward_weight(int layer, const Linear& linear, TensorId d_y, TensorId x);
    /// Adds into `d_x` when `accumulate`.
    void linear_backward_input(int layer, const Linear& linear, TensorId d_y, TensorId d_x, bool accumulate);
    NormSaved norm_forward(std::string_view name, int layer, TensorId x, model::Site weight, model::Site bias);
    /// Writes or adds the gradient of the norm's input into `d_x`; frees d_y and the statistics.
    void norm_backward(std::string_view name, int layer, TensorId d_y, TensorId x, const NormSaved& saved, model::Site weight, model::Site bias, TensorId d_x, bool accumulate);
    void free_norm(const NormSaved& norm);
    /// x -> dropout(x) in place, where the scenario drops.
    void dropout(int layer, TensorId x, std::uint32_t site);
    void add(std::string_view name, int layer, TensorId a, TensorId into);
    TensorId activation(std::string_view name, int layer, std::int64_t columns, Role role = Role::activation);
    /// fp32, one value a token: [1, T].
    TensorId statistics(std::string_view name, int layer);
    [[nodiscard]] kernel::Attributes attributes(int layer) const;
    [[nodiscard]] TensorId parameter(model::Site site, int layer);
    [[nodiscard]] std::int32_t index(model::Site site, int layer) const;

    [[nodiscard]] bool gpt2() const { return context_.scenario.model.family == model::Family::gpt2; }
    [[nodiscard]] Role activation_role() const { return recomputing_ ? Role::recomputed_activation : Role::activation; }
    [[nodiscard]] std::vector<Linear> qkv_linears() const;
    [[nodiscard]] Linear output_linear() const;
    [[nodiscard]] Linear up_linear() const;
    [[nodiscard]] Linear gate_linear() const;
    [[nodiscard]] Linear down_linear() const;
    [[nodiscard]] Linear head_linear() const;

    Context& context_;
    Emitter& emit_;
    Gathers& gathers_;
    Reductions& reductions_;
    const States& states_;
    std::map<std::pair<model::Site, int>, std::int32_t> indices_;
    std::vector<BlockSaved> saved_;
    NormSaved final_norm_;
    TensorId head_input_, logits_, loss_lse_;
    bool recomputing_ = false;
};

}  // namespace zerosim::strategy::zerosim_system
