#include "cost/nccl_memory.hpp"

#include "config/cluster_file.hpp"
#include "schedule/builder.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

/// One collective of `bytes` among `ranks` ranks.
std::int64_t memory_of(CollectiveKind kind, std::int64_t bytes, std::int64_t ranks, const std::string& cluster) {
    using namespace schedule;
    Schedule s;
    s.ranks = ranks;
    s.axes.push_back({s.names.intern("data"), ranks, 1});
    ProgramBuilder build(s);
    const StreamId stream = build.stream("communication", StreamKind::communication);
    const PoolId pool = build.pool("device", stream);
    const StorageId storage = build.storage("buffer", bytes * ranks, pool, Role::bucket);
    Collective c;
    c.kind = kind;
    c.axis = AxisId{0};
    c.send = build.tensor("send", storage, DType::fp32, 1, bytes / 4);
    c.receive = kind == CollectiveKind::all_gather ? build.tensor("receive", storage, DType::fp32, 1, bytes / 4 * ranks) : c.send;
    c.reduction = kind == CollectiveKind::all_gather ? Reduction::none : Reduction::sum;
    build.begin_first();
    build.begin_steady();
    build.alloc(storage);
    build.collective(stream, "collective", c);
    build.finish();
    return nccl_memory_bytes(s, s.programs.front(), config::load_cluster(cluster, config::default_search_paths()));
}

TEST(NcclMemory, NothingForOneRankOnCpusAndForOtherLibraries) {
    EXPECT_EQ(memory_of(CollectiveKind::all_reduce, 64 * kMiB, 1, "h100-sxm"), 0);
    EXPECT_EQ(memory_of(CollectiveKind::all_reduce, 64 * kMiB, 4, "local"), 0);
    EXPECT_EQ(memory_of(CollectiveKind::all_reduce, 64 * kMiB, 8, "mi300x"), 0);
}

TEST(NcclMemory, ARingIsTwelveMebibytesAChannel) {
    const std::int64_t bytes = memory_of(CollectiveKind::all_gather, 64 * kMiB, 8, "a100-sxm-80gb");
    EXPECT_EQ(bytes % (12 * kMiB), 0);
    EXPECT_GE(bytes, 100 * kMiB);
    EXPECT_LE(bytes, 300 * kMiB);      // 24 channels: 288 MiB
}

/// nvls.cc: 2 x 16 channels x 1 MiB x 8 GPUs.
TEST(NcclMemory, NvlsOfEightHopperGpus) { EXPECT_EQ(memory_of(CollectiveKind::all_reduce, 256 * kMiB, 8, "h100-sxm"), 256 * kMiB); }

TEST(NcclMemory, NetworkConnectionsOfOneGpuANode) {
    const std::int64_t within = memory_of(CollectiveKind::all_gather, 64 * kMiB, 8, "a100-sxm-80gb"), across = memory_of(CollectiveKind::all_gather, 64 * kMiB, 16, "a100-sxm-80gb");
    EXPECT_GT(across, 0);
    EXPECT_LE(across, 2 * within);
}

}  // namespace
}  // namespace zerosim::cost
