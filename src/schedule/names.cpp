#include "schedule/op.hpp"

#include <array>

namespace zerosim::schedule {

std::string_view name(Role role) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Role::count_)> names{
        "parameter", "parameter_shard", "gathered_parameter", "gradient", "gradient_shard", "master_weight", "first_moment",
        "second_moment", "activation", "activation_gradient", "recomputed_activation", "logits", "bucket", "staging", "workspace",
        "optimizer_temporary", "scalar", "input", "constant", "padding", "kv_cache"};
    return role < Role::count_ ? names[static_cast<std::size_t>(role)] : "?";
}

std::string_view name(Space space) {
    static constexpr std::array<std::string_view, 4> names{"device", "host", "pinned", "nvme"};
    return names[static_cast<std::size_t>(space)];
}

std::string_view name(OpKind kind) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(OpKind::count_)> names{
        "alloc", "free", "fill", "copy", "input", "initialize", "compute", "optimizer", "collective", "host_wait", "host_compute", "mark"};
    return kind < OpKind::count_ ? names[static_cast<std::size_t>(kind)] : "?";
}

std::string_view name(Phase phase) {
    static constexpr std::array<std::string_view, 4> names{"init", "forward", "backward", "optimizer"};
    return names[static_cast<std::size_t>(phase)];
}

}  // namespace zerosim::schedule
