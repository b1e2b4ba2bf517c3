#include "kernel/eager_operation.hpp"

#include <array>

namespace zerosim::kernel {

EagerOperation backward_of(EagerOperation operation) {
    switch (operation) {
        case EagerOperation::gelu: return EagerOperation::gelu_backward;
        case EagerOperation::silu: return EagerOperation::silu_backward;
        case EagerOperation::tanh: return EagerOperation::tanh_backward;
        case EagerOperation::rsqrt: return EagerOperation::rsqrt_backward;
        case EagerOperation::power: return EagerOperation::power_backward;
        default: return EagerOperation::unspecified;
    }
}

std::string_view name(EagerOperation operation) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(EagerOperation::count_)> kNames{
        "unspecified", "add", "multiply", "scale", "shift", "gelu", "gelu_backward", "silu", "silu_backward", "tanh", "tanh_backward",
        "rsqrt", "rsqrt_backward", "power", "power_backward", "cosine", "sine", "row_mean", "row_mean_backward", "sum", "concatenate",
        "slice_backward", "repeat_heads", "repeat_heads_backward", "sequence_numbers", "rotary_angles", "rotary_table", "rotate",
        "rotate_backward", "log_softmax", "log_softmax_backward", "negative_log_likelihood", "negative_log_likelihood_backward",
        "sum_of_squares", "clip_factor"};
    const auto index = static_cast<std::size_t>(operation);
    return index < kNames.size() ? kNames[index] : "?";
}

}  // namespace zerosim::kernel
