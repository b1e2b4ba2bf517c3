// Where cudaMalloc puts a segment: first fit from the lowest address among the ranges that the process has, then a new range below them.
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
    std::vector<Range> holes_;                       // free parts of reserved ranges, the highest first
    std::int64_t lowest_ = std::int64_t{1} << 56;    // reserved so far: from here on
};

}  // namespace zerosim::sim
