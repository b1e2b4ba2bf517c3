// Pools: live ranges never overlap, planned offsets are respected, misuse is reported.
#include "device/pool_memory.hpp"

#include "base/error.hpp"
#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace zerosim::device {
namespace {

bool aligned(const std::byte* data) { return reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0; }

/// Random allocations and releases; each live block is filled with its own number, which must still stand there at the end.
TEST(CachingMemory, RandomBlocksDoNotOverlap) {
    CachingMemory pool("test");
    struct Live {
        std::byte* data;
        std::int64_t bytes;
        unsigned char mark;
    };
    std::vector<Live> live;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        const std::uint64_t draw = hash64(1, i);
        if (live.size() < 20 || (draw % 2 == 0 && live.size() < 200)) {
            const int size_bits = 1 + static_cast<int>((draw >> 8) % 18);
            const auto bytes = static_cast<std::int64_t>((draw >> 16) % (std::uint64_t{1} << size_bits));
            const Live block{pool.allocate(bytes, -1), bytes, static_cast<unsigned char>(i)};
            ASSERT_TRUE(aligned(block.data));
            std::memset(block.data, block.mark, static_cast<std::size_t>(bytes));
            live.push_back(block);
        } else {
            const std::size_t at = (draw >> 8) % live.size();
            for (std::int64_t b = 0; b < live[at].bytes; ++b)
                ASSERT_EQ(std::to_integer<unsigned char>(live[at].data[b]), live[at].mark)
                    << "block of " << live[at].bytes << " bytes";
            pool.release(live[at].data, live[at].bytes);
            live[at] = live.back();
            live.pop_back();
        }
    }
    for (const Live& block : live) pool.release(block.data, block.bytes);
    // All merged again: what the pool has mapped holds one block of that size.
    const std::int64_t reserved = pool.reserved_bytes();
    pool.release(pool.allocate(reserved, -1), reserved);
    EXPECT_EQ(pool.reserved_bytes(), reserved);
}

TEST(CachingMemory, FreedMemoryIsUsedAgainAtOnce) {
    CachingMemory pool("test");
    std::byte* large = pool.allocate(1 << 20, -1);
    std::byte* guard = pool.allocate(100, -1);
    pool.release(large, 1 << 20);
    std::byte* best = pool.allocate((1 << 20) - 64, -1);
    EXPECT_EQ(best, large) << "the tightest free block";
    std::byte* rest = pool.allocate(64, -1);
    EXPECT_EQ(rest, large + (1 << 20) - 64) << "what was split off";
    pool.release(guard, 100);
}

TEST(CachingMemory, LargeRequestsGetTheirOwnMapping) {
    CachingMemory pool("test");
    const std::int64_t bytes = (std::int64_t{100} << 20) + 5;
    std::byte* data = pool.allocate(bytes, -1);
    EXPECT_LT(pool.reserved_bytes(), bytes + 8192);
    pool.release(data, bytes);
}

TEST(CachingMemory, EmptyAllocationsAreDistinct) {
    CachingMemory pool("test");
    std::byte* a = pool.allocate(0, -1);
    std::byte* b = pool.allocate(0, -1);
    EXPECT_NE(a, nullptr);
    EXPECT_NE(a, b);
    pool.release(a, 0);
    EXPECT_THROW(pool.release(a, 0), BugError);
    pool.release(b, 0);
}

TEST(CachingMemory, MisuseIsABug) {
    CachingMemory pool("test");
    std::byte* data = pool.allocate(1000, -1);
    EXPECT_THROW(pool.release(data, 999), BugError);
    EXPECT_THROW(pool.release(data + 64, 1000), BugError);
    pool.release(data, 1000);
    EXPECT_THROW(pool.release(data, 1000), BugError);
    EXPECT_THROW((void)pool.allocate(-1, -1), BugError);
}

TEST(CachingMemory, OutOfMemoryNamesTheNumbers) {
    CachingMemory pool("activations");
    const std::int64_t bytes = std::int64_t{1} << 50;
    try {
        (void)pool.allocate(bytes, -1);
        FAIL() << "a pebibyte was handed out";
    } catch (const EnvironmentError& error) {
        EXPECT_NE(std::string(error.what()).find("activations"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find(std::to_string(bytes)), std::string::npos) << error.what();
    }
    pool.release(pool.allocate(64, -1), 64); // the pool still works
}

TEST(PlannedMemory, OffsetsAreRespected) {
    PlannedMemory pool("test", 4096);
    std::byte* base = pool.allocate(64, 0);
    EXPECT_TRUE(aligned(base));
    EXPECT_EQ(pool.allocate(100, 1024), base + 1024);
    EXPECT_EQ(pool.allocate(960, 64), base + 64);
    pool.release(base + 64, 960);
    EXPECT_EQ(pool.allocate(128, 128), base + 128);
    EXPECT_EQ(pool.allocate(0, 4096), base + 4096);
    pool.release(base + 4096, 0);
}

TEST(PlannedMemory, MisuseIsABug) {
    PlannedMemory pool("test", 4096);
    std::byte* data = pool.allocate(1000, 1024);
    EXPECT_THROW((void)pool.allocate(64, -1), BugError) << "no planned offset";
    EXPECT_THROW((void)pool.allocate(64, 3), BugError) << "not aligned";
    EXPECT_THROW((void)pool.allocate(64, 4096), BugError) << "beyond the arena";
    EXPECT_THROW((void)pool.allocate(1025, 0), BugError) << "overlaps the next";
    EXPECT_THROW((void)pool.allocate(64, 1984), BugError) << "overlaps the one before";
    EXPECT_THROW(pool.release(data, 999), BugError);
    pool.release(data, 1000);
    EXPECT_THROW(pool.release(data, 1000), BugError);
    EXPECT_THROW(pool.release(data, 0), BugError) << "no empty allocation lives";
}

TEST(PlannedMemory, UntouchedPagesCostNothing) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "poisoning an arena touches an eighth of its size";
#endif
    PlannedMemory pool("test", std::int64_t{1} << 40); // far more than any test machine has
    std::byte* data = pool.allocate(64, std::int64_t{1} << 39);
    std::memset(data, 1, 64);
    pool.release(data, 64);
}

} // namespace
} // namespace zerosim::device
