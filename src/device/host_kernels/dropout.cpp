#include "base/error.hpp"
#include "base/rng.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

namespace zerosim::device::host {
namespace {

/// Key of one sequence's mask: what it is for, not where it is computed, so any partition of the batch draws the same.
[[nodiscard]] std::uint64_t mask_key(const KernelCall& call, std::int64_t sample) {
    const std::uint64_t place = (std::uint64_t{call.attributes.layer} << 32) | call.attributes.site;
    const std::uint64_t when = hash64(call.context.seed, static_cast<std::uint64_t>(call.context.step));
    return hash64(hash64(hash64(when, static_cast<std::uint64_t>(sample)), place));
}

/// Scales or zeroes block elements; the first one is number `element` of its sample.
void apply_mask(Block& block, std::int64_t offset, std::int64_t count, std::uint64_t key, std::uint64_t element,
                std::uint64_t threshold, float scale) {
    for (std::int64_t i = 0; i < count; ++i) {
        // hash64(a, b) = hash64(hash64(a) ^ b): `key` is hashed already. 32 bits against p * 2^32.
        const bool keep = (hash64(key ^ (element + static_cast<std::uint64_t>(i))) >> 32) >= threshold;
        const float value = block[offset + i] * scale;
        block[offset + i] = keep ? value : 0.0f;
    }
}

} // namespace

// Srivastava et al. 2014, in the inverted form: kept elements are scaled by 1 / (1 - p). Backward is the same map.
void dropout(const KernelCall& call) {
    const TensorView &x = call.operands[0], &y = call.operands[1];
    const double p = call.attributes.dropout;
    const std::int64_t sequence = call.attributes.sequence;
    check(p >= 0 && p < 1, "dropout: the probability must be in [0, 1)");
    check(sequence > 0, "dropout: attributes.sequence must be the sequence length");
    const auto threshold = static_cast<std::uint64_t>(p * 0x1.0p32);
    const auto scale = static_cast<float>(1.0 / (1.0 - p));
    const std::int64_t columns = x.columns, sample_elements = sequence * columns;
    for_each_block(call.context.workers, {x, y}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block block;
        load_block(x, row, column, count, block);
        std::int64_t element = row * columns + column;
        for (std::int64_t offset = 0; offset < count;) { // a block may reach into the next sample
            const std::int64_t sample = element / sample_elements, within = element % sample_elements;
            const std::int64_t run = std::min(count - offset, sample_elements - within);
            apply_mask(block, offset, run, mask_key(call, call.context.first_sample + sample), static_cast<std::uint64_t>(within),
                       threshold, scale);
            offset += run;
            element += run;
        }
        store_block(block, y, row, column, count);
    });
}

} // namespace zerosim::device::host
