// MpiReduction: one reduce-scatter, all-reduce or reduce on MPI as a pipeline of segments: MPI_Ialltoallv into scratch, own sum in
// rank order, then MPI_Iallgatherv of the sums (all-reduce) or MPI_Igatherv to the root (reduce). Part of MpiCommunicator, which polls it.
// Does not block and allocates nothing once its lists have grown.
#pragma once

#include "comm/communicator.hpp"
#include "comm/mpi_handle.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace zerosim::comm {

/// What MPI moves: 2-byte floats are words to it.
[[nodiscard]] MPI_Datatype mpi_type(DType dtype);

class MpiReduction {
public:
    /// Nothing is sent yet. `comm` outlives the reduction.
    void begin(const CollectiveCall& call, MPI_Comm comm, int rank, int size, std::int64_t segment_bytes);
    /// Starts, sums and gathers what can be. To be called only when every earlier reduction of the communicator is `all_started`:
    /// the order in which MPI collectives start is then the same on every rank.
    void advance();
    /// All of its MPI collectives have started.
    [[nodiscard]] bool all_started() const { return summed_ == segments_; }
    /// Polls the last ones; true when the result is there.
    [[nodiscard]] bool complete();
    /// The first segments, without polling.
    void start_first();

private:
    static constexpr std::int64_t kDepth = 2; // segments in flight: one moves while the other is summed
    struct Counts {
        std::vector<int> counts, displacements; // MPI wants them until the end
        void clear() { counts.clear(), displacements.clear(); }
        void push(std::int64_t count, std::int64_t displacement);
    };
    struct Slot {
        MPI_Request scatter = MPI_REQUEST_NULL, gather = MPI_REQUEST_NULL;
        Counts sent, received, gathered;
        std::vector<std::byte> sums; // of a reduce, on ranks that are not its root
    };
    struct Part {
        std::int64_t begin = 0, count = 0;
    };

    /// An all-reduce or a reduce: what is summed goes on.
    [[nodiscard]] bool whole() const { return call_.kind != CollectiveKind::reduce_scatter; }
    [[nodiscard]] bool has_result() const { return call_.kind != CollectiveKind::reduce || rank_ == call_.root; }
    [[nodiscard]] Slot& slot(std::int64_t segment) { return slots_[static_cast<std::size_t>(segment % kDepth)]; }
    /// Elements of `peer`'s slice in a segment, as a range of the whole message.
    [[nodiscard]] Part part(std::int64_t segment, int peer) const;
    /// Where a peer's part of a segment lies in scratch, in elements.
    [[nodiscard]] std::int64_t scratch_offset(std::int64_t segment, int peer) const;
    void start_scatters();
    void scatter(std::int64_t segment);
    void gather(std::int64_t segment);
    void sum(std::int64_t segment);
    [[nodiscard]] std::byte* sum_address(std::int64_t segment);

    CollectiveCall call_;
    MPI_Comm comm_ = MPI_COMM_NULL;
    int rank_ = 0, size_ = 1;
    std::int64_t elements_ = 0; // of the whole message
    std::int64_t slice_ = 0;    // of a rank; the last ones' may be shorter
    std::int64_t segment_ = 1;  // elements of a slice moved at a time
    std::int64_t segments_ = 0, scattered_ = 0, summed_ = 0;
    std::array<Slot, kDepth> slots_;
    std::vector<const void*> sources_;
};

} // namespace zerosim::comm
