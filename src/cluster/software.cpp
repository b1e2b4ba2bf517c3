#include "cluster/software.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::cluster {
namespace {

// PyTorch 2.11 eager on an H200 (tests/truth/time/h200-kernels.jsonl): bf16 additions 0.90, GELU 0.75, silu and product 0.86,
// LayerNorm 0.36 (1,024 wide) to 0.56 (4,096), RMSNorm 0.63 to 0.72, casts 0.44 (to fp32) to 0.89, fused AdamW 0.72.
Software torch_2_11() {
    Software s;
    s.name = "torch-2.11";
    s.memory = {.elementwise = 0.75, .norm = 0.50, .rms_norm = 0.65, .copy = 0.75, .loss = 0.60, .optimizer = 0.72, .embedding = 0.60};
    // Cross-entropy of 8,192 x 50,257 and 4,096 x 128,256 logits with the up-cast to fp32: 6.4 to 6.7 ps a logit, both ways.
    s.loss_forward_bytes = s.loss_backward_bytes = 19;
    // A GPT-2 block: 0.33 to 0.70 ms forward for 10 kernels, 1.5 to 2.4 ms backward for 20; Llama 0.69 ms for 17, 2.2 ms for 25.
    s.issue.forward = 42e-6;
    s.issue.backward = 87e-6;
    s.issue.copy = 20e-6;
    // FSDP2's hooks: about 3 ms a layer (h200-steps.jsonl: gpt2-1.5b, stage 2 against DDP), little more with a second gather.
    s.issue.gather_forward = 1.3e-3;
    s.issue.gather_backward = 0.1e-3;
    s.issue.reduce = 1.95e-3;
    s.compiled_traffic = 0.5; // blocks of Llama 3.2 1B, 4 x 4,096 tokens: 13.2 ms eager, 12.2 ms compiled
    return s;
}

// PyTorch 2.2 to 2.8 under torchtitan: FlashAttention-2 also on Hopper (torchtitan's SDPA asks for it by name), RMSNorm of separate
// kernels in eager mode: up-cast, square, mean, root, products, cast: about 40 bytes an element forward where 4 would do. Memory-bound
// kernels reached 0.56 of the bandwidth in the runs of 2023 and reach 0.75 now (torch-2.11): 0.62 between them.
Software torch_2_6() {
    Software s = torch_2_11();
    s.name = "torch-2.6";
    s.cudnn_attention_from = 0;
    s.memory.elementwise = s.memory.copy = 0.62;
    s.memory.rms_norm = 0.062; // a tenth of that
    return s;
}

// PyTorch 1.13 to 2.1 with MosaicML's Composer and llm-foundry (MPT): Triton FlashAttention, an unfused DecoupledAdamW (about 110
// bytes a parameter, with clipping), flash-attn's fused cross-entropy. `memory` is fitted on llm-foundry's table, in the bytes
// of the eager kernels that the fsdp planner emits (bias sums, casts, gradient sums included).
Software torch_2_0() {
    constexpr double kEager = 0.29;
    Software s;
    s.name = "torch-2.0";
    s.memory = {kEager, kEager, kEager, kEager, kEager, 0.56, kEager};
    s.optimizer_bytes_per_parameter = 110;
    s.fused_cross_entropy = true; // llm-foundry's default loss_fn (llmfoundry/models/mpt/modeling_mpt.py)
    s.issue.forward = 50e-6; // as torch-2.11; these runs are not bound by the host
    s.issue.backward = 85e-6;
    s.issue.gather_forward = s.issue.gather_backward = s.issue.reduce = 0.5e-3;
    s.cudnn_attention_from = 0;
    s.attention_factor = 0.525; // published: Triton 80 of FlashAttention-2's 171 to 189 TFLOP/s (A100, Dao 2023, fig. 5)
    s.attention_ramp = false;   // the same figure: flat from 1,024 tokens on
    return s;
}

// torchtitan of 2025: the loss is compiled with the blocks (torchtitan/components/loss.py): one kernel over bf16 logits each way. Its
// attention names SDPA's backends: flash first, and cuDNN before it where has_cuda_capability(10, 0) (torchtitan/models/attention.py).
Software torchtitan_2025() {
    Software s = torch_2_11();
    s.name = "torchtitan-2025";
    s.fused_cross_entropy = true;
    s.cudnn_attention_from = 100;
    return s;
}

// litgpt of October 2023 (PyTorch 2.1, Lightning Fabric, bitsandbytes 0.41): bf16-true takes the loss of bf16 logits (lit_gpt/utils.py,
// chunked_cross_entropy); Fabric's plugin replaces every nn.Linear, the head too, and quantizes fp16 weights (fabric/plugins/precision/
// bitsandbytes.py, quantize_: dtype=torch.half), which MatMul4Bit widens to fp16, then casts; it keeps ctx.tensors = (A, B).
Software litgpt_2023() {
    Software s = torch_2_6();
    s.name = "litgpt-2023";
    s.loss_in_compute_dtype = s.early_bitsandbytes = s.quantized_head = true;
    return s;
}

} // namespace

Software software(std::string_view name) {
    if (name == "torch-2.0") return torch_2_0();
    if (name == "torch-2.6") return torch_2_6();
    if (name == "torch-2.11") return torch_2_11();
    if (name == "torchtitan-2025") return torchtitan_2025();
    if (name == "litgpt-2023") return litgpt_2023();
    throw ConfigError(fmt::format("unknown software stack '{}' (known: torch-2.0, torch-2.6, torch-2.11, torchtitan-2025, litgpt-2023)", name));
}

std::vector<std::string> software_names() { return {"torch-2.0", "torch-2.6", "torch-2.11", "torchtitan-2025", "litgpt-2023"}; }

} // namespace zerosim::cluster
