#include "comm/communicator.hpp"

#include "base/error.hpp"
#include "comm/backoff.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::comm {

std::int64_t message_bytes(CollectiveKind kind, std::int64_t count, DType dtype, std::int64_t ranks) {
    return count * size_of(dtype) * (has_parts(kind) ? ranks : 1);
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
        fail("a sum or average belongs to all-reduce, reduce-scatter and reduce, and to nothing else");
    if (call.reduction == Reduction::average && (call.dtype == DType::int32 || call.dtype == DType::int64 || call.dtype == DType::uint8))
        fail("an average is of floats");
    const bool broadcast = call.kind == CollectiveKind::broadcast, root = rank == call.root;
    const bool sends = root || (!broadcast && call.kind != CollectiveKind::scatter);
    const bool receives = root ? !broadcast : call.kind != CollectiveKind::reduce && call.kind != CollectiveKind::gather;
    if (call.count > 0 && ((sends && !call.send) || (receives && !call.receive))) fail("a buffer is missing");
}

void Communicator::run(const CollectiveCall& call) {
    const Ticket ticket = start(call);
    Backoff backoff;
    while (!test(ticket)) backoff.pause();
}

} // namespace zerosim::comm
