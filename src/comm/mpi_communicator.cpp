#include "comm/mpi_communicator.hpp"

#include "base/error.hpp"
#include "comm/rank_order_sum.hpp"

#include <fmt/format.h>

#include <climits>
#include <cstring>

namespace zerosim::comm {

namespace {

/// MPI 3 counts and displacements are ints.
void check_size(const CollectiveCall& call, int ranks) {
    const std::int64_t elements = message_bytes(call.kind, call.count, call.dtype, ranks) / size_of(call.dtype);
    if (elements > INT_MAX - ranks)
        throw BugError(
            fmt::format("{} of {} elements: MPI counts at most {}; use smaller buckets", name(call.kind), elements, INT_MAX));
}

void copy_alone(const CollectiveCall& call) {
    if (call.receive && call.receive != call.send && call.count > 0)
        std::memcpy(call.receive, call.send, static_cast<std::size_t>(call.count * size_of(call.dtype)));
}

} // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm parent, ReductionOrder order, std::int64_t segment_bytes)
    : direct_(MpiComm::duplicate(parent)),
      reductions_(MpiComm::duplicate(parent)),
      order_(order),
      segment_bytes_(segment_bytes),
      rank_(direct_.rank()),
      size_(direct_.size()),
      sources_(static_cast<std::size_t>(size_)) {
    check(segment_bytes > 0 && segment_bytes <= kReductionSegmentBytes, "segments are as long as scratch_bytes says at most");
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::split(int color, int key) const {
    const MpiComm part = MpiComm::split(direct_.get(), color, key);
    return std::make_unique<MpiCommunicator>(part.get(), order_, segment_bytes_);
}

bool MpiCommunicator::library_sums(const CollectiveCall& call) const {
    return order_ == ReductionOrder::library && call.reduction == Reduction::sum && (call.dtype == DType::fp32 || call.dtype == DType::fp64);
}

Ticket MpiCommunicator::start(const CollectiveCall& call) {
    check_call(call, rank_, size_);
    check_size(call, size_);
    const auto [ticket, flight] = ring_.push();
    flight->call = call;
    flight->complete = flight->reduces = flight->gathered = false;
    flight->request = flight->sent = MPI_REQUEST_NULL;
    if (size_ == 1)
        copy_alone(call);
    else if (call.count > 0) // on all ranks alike
        begin(*flight);
    return ticket;
}

void MpiCommunicator::begin(Flight& flight) {
    switch (flight.call.kind) {
        case CollectiveKind::all_reduce:
        case CollectiveKind::reduce: return start_whole_sum(flight);
        case CollectiveKind::reduce_scatter: return start_reduce_scatter(flight);
        case CollectiveKind::broadcast:
        case CollectiveKind::gather:
        case CollectiveKind::scatter: return start_rooted(flight);
        case CollectiveKind::send_recv: return start_send_recv(flight);
        case CollectiveKind::all_gather:
        case CollectiveKind::all_to_all: return start_alone(flight);
    }
}

bool MpiCommunicator::test(Ticket ticket) {
    const std::uint64_t asked = ring_.sequence(ticket);
    bool may_start = true; // every earlier reduction has started all of its MPI collectives
    for (std::uint64_t i = incomplete_; i != ring_.end(); ++i) {
        Flight& flight = ring_[i];
        if (!flight.complete && flight.reduces) {
            if (may_start) flight.reduction.advance(); // peers may wait for its next segment, whatever is asked for here
            may_start = may_start && flight.reduction.all_started();
        }
        if (!flight.complete && i == asked) advance(flight); // the data of the others is moved by MPI itself
        if (i == incomplete_ && flight.complete) ++incomplete_;
    }
    if (!ring_[asked].complete) return false;
    ring_.spend(asked);
    return true;
}

void MpiCommunicator::advance(Flight& flight) {
    if (flight.reduces) {
        flight.complete = flight.reduction.complete();
        return;
    }
    for (MPI_Request* request : {&flight.request, &flight.sent}) {
        int done = *request == MPI_REQUEST_NULL ? 1 : 0;
        if (!done) check_mpi(MPI_Test(request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        if (!done) return;
    }
    if (flight.gathered) sum_gathered(flight);
    flight.complete = true;
}

void MpiCommunicator::start_alone(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const int count = static_cast<int>(call.count);
    const MPI_Datatype type = mpi_type(call.dtype);
    if (call.kind == CollectiveKind::all_gather) {
        const std::byte* own = static_cast<const std::byte*>(call.receive) + rank_ * call.count * size_of(call.dtype);
        check_mpi(MPI_Iallgather(call.send == own ? MPI_IN_PLACE : call.send, count, type, call.receive, count, type,
                                 direct_.get(), &flight.request),
                  "MPI_Iallgather");
    } else {
        check_mpi(MPI_Ialltoall(call.send, count, type, call.receive, count, type, direct_.get(), &flight.request),
                  "MPI_Ialltoall");
    }
}

void MpiCommunicator::start_rooted(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const int count = static_cast<int>(call.count);
    const MPI_Datatype type = mpi_type(call.dtype);
    const std::int64_t own = rank_ * call.count * size_of(call.dtype);
    const bool root = rank_ == call.root;
    if (call.kind == CollectiveKind::gather) {
        const bool in_place = root && call.send == static_cast<const std::byte*>(call.receive) + own;
        check_mpi(MPI_Igather(in_place ? MPI_IN_PLACE : call.send, count, type, call.receive, count, type, call.root, direct_.get(), &flight.request),
                  "MPI_Igather");
    } else if (call.kind == CollectiveKind::scatter) {
        const bool in_place = root && call.receive == static_cast<const std::byte*>(call.send) + own;
        check_mpi(MPI_Iscatter(call.send, count, type, in_place ? MPI_IN_PLACE : call.receive, count, type, call.root, direct_.get(), &flight.request),
                  "MPI_Iscatter");
    } else {
        if (root) copy_alone(call);
        void* const buffer = root ? const_cast<void*>(call.send) : call.receive; // MPI_Ibcast only reads the root's buffer
        check_mpi(MPI_Ibcast(buffer, count, type, call.root, direct_.get(), &flight.request), "MPI_Ibcast");
    }
}

/// Messages between two ranks match in the order they start, which is the same on both.
void MpiCommunicator::start_send_recv(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const int count = static_cast<int>(call.count);
    const MPI_Datatype type = mpi_type(call.dtype);
    check_mpi(MPI_Irecv(call.receive, count, type, (rank_ + size_ - 1) % size_, 0, direct_.get(), &flight.request), "MPI_Irecv");
    check_mpi(MPI_Isend(call.send, count, type, (rank_ + 1) % size_, 0, direct_.get(), &flight.sent), "MPI_Isend");
}

void MpiCommunicator::start_reduce_scatter(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const bool in_place = call.receive == static_cast<const std::byte*>(call.send) + rank_ * call.count * size_of(call.dtype);
    if (!library_sums(call) || in_place) return start_reduction(flight); // MPI's in place means another slice
    check_mpi(MPI_Ireduce_scatter_block(call.send, call.receive, static_cast<int>(call.count), mpi_type(call.dtype), MPI_SUM,
                                        direct_.get(), &flight.request),
              "MPI_Ireduce_scatter_block");
}

void MpiCommunicator::start_library_sum(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const int count = static_cast<int>(call.count);
    const MPI_Datatype type = mpi_type(call.dtype);
    const bool reduce = call.kind == CollectiveKind::reduce;
    const void* send = call.send == call.receive && (!reduce || rank_ == call.root) ? MPI_IN_PLACE : call.send;
    if (reduce)
        check_mpi(MPI_Ireduce(send, call.receive, count, type, MPI_SUM, call.root, direct_.get(), &flight.request), "MPI_Ireduce");
    else
        check_mpi(MPI_Iallreduce(send, call.receive, count, type, MPI_SUM, direct_.get(), &flight.request), "MPI_Iallreduce");
}

void MpiCommunicator::start_whole_sum(Flight& flight) {
    const CollectiveCall& call = flight.call;
    if (library_sums(call)) {
        start_library_sum(flight);
    } else if (size_ * call.count * size_of(call.dtype) <= kGatheredReductionBytes) {
        start_gathered(flight);
    } else {
        start_reduction(flight);
    }
}

void MpiCommunicator::start_reduction(Flight& flight) {
    flight.reduces = true;
    flight.reduction.begin(flight.call, reductions_.get(), rank_, size_, segment_bytes_);
    for (std::uint64_t i = incomplete_; i + 1 != ring_.end(); ++i)
        if (!ring_[i].complete && ring_[i].reduces && !ring_[i].reduction.all_started()) return; // its turn comes in test()
    flight.reduction.start_first();
}

void MpiCommunicator::start_gathered(Flight& flight) {
    const CollectiveCall& call = flight.call;
    const int count = static_cast<int>(call.count);
    const MPI_Datatype type = mpi_type(call.dtype);
    flight.gathered = true;
    const bool reduce = call.kind == CollectiveKind::reduce;
    if (!reduce || rank_ == call.root) flight.gather.resize(static_cast<std::size_t>(size_ * call.count * size_of(call.dtype)));
    void* const all = flight.gather.data(); // of a reduce the root's alone is written
    if (reduce)
        check_mpi(MPI_Igather(call.send, count, type, all, count, type, call.root, direct_.get(), &flight.request), "MPI_Igather");
    else
        check_mpi(MPI_Iallgather(call.send, count, type, all, count, type, direct_.get(), &flight.request), "MPI_Iallgather");
}

void MpiCommunicator::sum_gathered(Flight& flight) {
    const CollectiveCall& call = flight.call;
    if (call.kind == CollectiveKind::reduce && rank_ != call.root) return;
    for (int peer = 0; peer < size_; ++peer)
        sources_[static_cast<std::size_t>(peer)] = flight.gather.data() + peer * call.count * size_of(call.dtype);
    rank_order_sum(call.dtype, sources_, call.receive, call.count, call.reduction);
}

} // namespace zerosim::comm
