// Communicator: non-blocking collectives of one group of ranks. Back ends: local (ranks as threads), MPI, NCCL.
// Called by exec/'s communication thread, which starts collectives in program order and polls them; by tests and benchmarks.
// Does not own buffers, does not sleep, and does not know schedules.
#pragma once

#include "base/collective.hpp"
#include "base/dtype.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace zerosim::comm {

/// `count` = elements each rank contributes (all-gather, gather, broadcast, send-recv, all-to-all per peer) or receives
/// (reduce-scatter, scatter), all of them for all-reduce and reduce. In place: send is the own slice of receive (all-gather, the root
/// of a gather), receive the own slice of send (reduce-scatter, the root of a scatter), receive == send (all-reduce, reduce,
/// broadcast). Broadcast: send counts on the root alone, whose receive may be null; scatter: send on the root alone; reduce, gather:
/// receive on the root alone. Send-recv: every rank sends to the next and receives from the one before, round the ring. Reductions: fp32, fp64 in their own precision; bf16 and fp16 move 2-byte words, add in fp32 and round once; always in
/// rank order, so the same bits at every run and on every back end.
struct CollectiveCall {
    CollectiveKind kind = CollectiveKind::all_reduce;
    Reduction reduction = Reduction::none;
    DType dtype = DType::fp32;
    std::int64_t count = 0;
    int root = 0;
    const void* send = nullptr;
    void* receive = nullptr;
    /// Reductions on MPI: room for the peers' slices, scratch_bytes(...) long. Unused by other back ends.
    void* scratch = nullptr;
};

/// Message bytes of a call: count * dtype size of the larger of its two buffers (nccl-tests doc/PERFORMANCE.md).
[[nodiscard]] std::int64_t message_bytes(CollectiveKind kind, std::int64_t count, DType dtype, std::int64_t ranks);

/// Throws BugError unless the call makes sense on `ranks` ranks: counts, root, reduction, buffers.
void check_call(const CollectiveCall& call, int rank, int ranks);

/// Bytes of `scratch` that host back ends use: n - 1 peers' parts of two segments, or of the own slice if that is less.
/// The slice: all-reduce ceil(count / n), reduce-scatter count elements. 0 for n == 1, small all-reduces and non-reductions.
/// More does no harm.
[[nodiscard]] std::int64_t scratch_bytes(CollectiveKind kind, std::int64_t count, DType dtype, std::int64_t ranks);

using Ticket = std::uint32_t;

class Communicator {
public:
    virtual ~Communicator() = default;
    [[nodiscard]] virtual int rank() const = 0;
    [[nodiscard]] virtual int size() const = 0;
    /// Starts a collective without blocking. Members start the same collectives in the same order. No heap allocation per call
    /// once warm. Zero elements and one rank are valid.
    [[nodiscard]] virtual Ticket start(const CollectiveCall& call) = 0;
    /// Makes progress on everything in flight; true once the collective is complete on this rank (the ticket is then spent).
    [[nodiscard]] virtual bool test(Ticket ticket) = 0;
    /// Starts and polls to the end with comm/backoff.hpp.
    void run(const CollectiveCall& call);
    /// The failure path: gives up what is in flight. Call it before the buffers go; after it no peer reads them (local), and
    /// peers' unfinished collectives never complete. MPI: nothing, since the whole job is about to be aborted.
    virtual void abandon() noexcept {}
};

} // namespace zerosim::comm
