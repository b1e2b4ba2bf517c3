#include "strategy/adapters.hpp"

#include <algorithm>

namespace zerosim::strategy {

std::int64_t adapter_parameters(const model::Model& m, const Training& training) {
    const std::int64_t query = m.heads * m.head_dim, key = m.kv_heads * m.head_dim;
    struct Target {
        const char* name;
        std::int64_t width;   // in + out
    };
    std::int64_t widths = 0;
    for (const Target& target : {Target{"q", m.hidden + query}, Target{"k", m.hidden + key}, Target{"v", m.hidden + key}, Target{"o", query + m.hidden}})
        if (std::ranges::find(training.lora_targets, target.name) != training.lora_targets.end()) widths += target.width;
    return training.lora_rank * widths * m.layers;
}

}  // namespace zerosim::strategy
