// MpiCommunicator: the collectives of a group of MPI processes, started and polled by one thread (MPI_THREAD_SERIALIZED).
// Made by cli/ from the world and split along mesh axes; tested against the same contract as the local one.
// Does not use MPI's own reductions unless asked: they are slower, and sum in no fixed order.
#pragma once

#include "comm/communicator.hpp"
#include "comm/flight_ring.hpp"
#include "comm/mpi_handle.hpp"
#include "comm/mpi_reduction.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace zerosim::comm {

/// Who sums: this program in rank order, or the MPI library in an order of its own (fp32 and fp64; others stay in rank order).
enum class ReductionOrder : std::uint8_t { rank, library };

/// all-gather, broadcast, all-to-all, gather, scatter: MPI's non-blocking call; send-recv: MPI_Isend and MPI_Irecv. Reductions:
/// MpiReduction. All-reduces of at most kGatheredReductionBytes: MPI_Iallgather of everything into the communicator's own buffer and
/// the whole sum on every rank, one exchange instead of two; reduces likewise with MPI_Igather and the sum on the root.
class MpiCommunicator final : public Communicator {
public:
    /// Collective over `parent`. Tests pass short segments.
    explicit MpiCommunicator(MPI_Comm parent, ReductionOrder order = ReductionOrder::rank,
                             std::int64_t segment_bytes = kReductionSegmentBytes);
    /// A communicator per color, ranks ordered by key. Collective over this group.
    [[nodiscard]] std::unique_ptr<MpiCommunicator> split(int color, int key) const;

    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return size_; }
    [[nodiscard]] Ticket start(const CollectiveCall& call) override;
    [[nodiscard]] bool test(Ticket ticket) override;

private:
    struct Flight {
        CollectiveCall call;
        bool complete = true;
        bool reduces = false;  // by `reduction`
        bool gathered = false; // a small all-reduce or reduce
        MPI_Request request = MPI_REQUEST_NULL;
        MPI_Request sent = MPI_REQUEST_NULL; // of a send-recv
        MpiReduction reduction;
        std::vector<std::byte> gather; // a small reduction's contributions
    };

    void begin(Flight& flight);
    void start_alone(Flight& flight);
    void start_rooted(Flight& flight);
    void start_send_recv(Flight& flight);
    void start_whole_sum(Flight& flight);
    void start_library_sum(Flight& flight);
    void start_reduce_scatter(Flight& flight);
    void start_reduction(Flight& flight);
    void start_gathered(Flight& flight);
    void sum_gathered(Flight& flight);
    void advance(Flight& flight);
    [[nodiscard]] bool library_sums(const CollectiveCall& call) const;

    // MPI matches non-blocking collectives by their order on a communicator. Those of a reduction start as data arrives, so they
    // have a communicator of their own, where each reduction starts all of its own before the next one starts any.
    MpiComm direct_, reductions_;
    ReductionOrder order_;
    std::int64_t segment_bytes_;
    int rank_, size_;
    FlightRing<Flight> ring_;
    std::uint64_t incomplete_ = 0; // the oldest flight that is not complete
    std::vector<const void*> sources_;
};

} // namespace zerosim::comm
