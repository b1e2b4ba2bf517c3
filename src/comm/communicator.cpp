#include "comm/communicator.hpp"

#include "base/error.hpp"
#include "comm/backoff.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::comm {

namespace {

[[nodiscard]] bool is_reduction(CollectiveKind kind) {
    return kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter;
}

} // namespace

std::int64_t message_bytes(CollectiveKind kind, std::int64_t count, DType dtype, std::int64_t ranks) {
    const bool per_rank = kind != CollectiveKind::all_reduce && kind != CollectiveKind::broadcast;
    return count * size_of(dtype) * (per_rank ? ranks : 1);
}

std::int64_t scratch_bytes(CollectiveKind kind, std::int64_t count, DType dtype, std::int64_t ranks) {
    return host_reduction_scratch_bytes(kind, count, size_of(dtype), ranks);
}

void check_call(const CollectiveCall& call, int rank, int ranks) {
    const auto fail = [&](const char* what) {
        throw BugError(fmt::format("{} of {} {} on {} ranks: {}", name(call.kind), call.count, name(call.dtype), ranks, what));
    };
    if (call.count < 0) fail("the count is negative");
    if (call.root < 0 || call.root >= ranks) fail("the root is not a rank of the group");
    if (is_reduction(call.kind) != (call.reduction != Reduction::none))
        fail("a sum or average belongs to all-reduce and reduce-scatter, and to nothing else");
    if (call.reduction == Reduction::average && (call.dtype == DType::int32 || call.dtype == DType::int64 || call.dtype == DType::uint8))
        fail("an average is of floats");
    const bool broadcast = call.kind == CollectiveKind::broadcast;
    const bool sends = !broadcast || rank == call.root, receives = !broadcast || rank != call.root;
    if (call.count > 0 && ((sends && !call.send) || (receives && !call.receive))) fail("a buffer is missing");
}

void Communicator::run(const CollectiveCall& call) {
    const Ticket ticket = start(call);
    Backoff backoff;
    while (!test(ticket)) backoff.pause();
}

} // namespace zerosim::comm
