// Where cudaMalloc puts a segment: the highest free range of addresses that holds it, aligned to the power of two above its size.
// Called by the model of the caching allocator, whose best fit chooses among equal free blocks by address.
// Knows no memory: only ranges of addresses.
#pragma once

#include <cstdint>
#include <vector>

namespace zerosim::sim {

class AddressSpace {
public:
    [[nodiscard]] std::int64_t take(std::int64_t bytes);
    void give_back(std::int64_t address, std::int64_t bytes);

private:
    struct Range {
        std::int64_t begin = 0, end = 0;
    };
    std::vector<Range> free_{{0, std::int64_t{1} << 56}};   // by address, ascending
};

}  // namespace zerosim::sim
