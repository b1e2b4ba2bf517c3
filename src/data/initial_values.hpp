// Initial weights as a function of (scheme, seed, tensor, element): any rank makes any range, no state is kept.
// Called by exec/ for `initialize` ops.
// Does not know models or shards: callers pass the tensor's number and kind.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim::data {

enum class Scheme : std::uint8_t { normal, hash };
/// What a tensor starts as: random, ones (norm weights) or zeros (biases).
enum class Start : std::uint8_t { random, one, zero };

/// `train.init`: "normal" or "hash"; BugError otherwise (config/ has checked it).
[[nodiscard]] Scheme scheme_of(std::string_view name);

/// Elements [begin, begin + count), row-major, of tensor number `tensor`.
/// normal: N(0, 0.02) as GPT-2 (Radford et al. 2019), by Box and Muller on hash64. hash: tests/truth/training/README.md (no
/// seed).
void initial_values(Scheme scheme, std::uint64_t seed, std::uint64_t tensor, Start start, std::int64_t begin, std::int64_t count,
                    float* out);

} // namespace zerosim::data
