#include "mpi/pmpi_counter.hpp"

#include "comm/communicator.hpp"
#include "comm/mpi_handle.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::tests {

namespace {

MpiTraffic counted; // PMPI has no user data; tests count from the one thread that calls MPI

std::int64_t type_bytes(MPI_Datatype type) {
    int size = 0;
    PMPI_Type_size(type, &size);
    return size;
}

int ranks_of(MPI_Comm comm) {
    int size = 0;
    PMPI_Comm_size(comm, &size);
    return size;
}

int rank_in(MPI_Comm comm) {
    int rank = 0;
    PMPI_Comm_rank(comm, &rank);
    return rank;
}

} // namespace

MpiTraffic& MpiTraffic::operator+=(const MpiTraffic& other) {
    all_gather += other.all_gather, scatter += other.scatter, collect += other.collect, all_to_all += other.all_to_all;
    broadcast += other.broadcast, rooted += other.rooted, messages += other.messages, library += other.library, sent += other.sent;
    return *this;
}

MpiTraffic traffic() { return counted; }
void reset_traffic() { counted = {}; }

MpiTraffic expected_traffic(CollectiveKind kind, std::int64_t count, DType dtype, int rank, int ranks) {
    MpiTraffic expected;
    if (ranks == 1) return expected;
    const std::int64_t message = comm::message_bytes(kind, count, dtype, ranks);
    // The rank's own slice; the last slices of an all-reduce may be shorter.
    const std::int64_t slice = (message / size_of(dtype) + ranks - 1) / ranks * size_of(dtype);
    const std::int64_t own = std::clamp<std::int64_t>(message - rank * slice, 0, slice);
    const bool root = rank == 0;
    switch (kind) {
        case CollectiveKind::gather:
        case CollectiveKind::scatter:
            expected.rooted = root ? message : message / ranks;
            if (kind == CollectiveKind::scatter) expected.sent = root ? message - message / ranks : 0;
            else expected.sent = root ? 0 : message / ranks;
            return expected;
        case CollectiveKind::send_recv: expected.messages = expected.sent = message; return expected;
        case CollectiveKind::reduce:
            if (ranks * message <= kGatheredReductionBytes) {
                expected.rooted = root ? ranks * message : message;
                expected.sent = root ? 0 : message;
                return expected;
            }
            expected.scatter = message;
            expected.collect = own;
            expected.sent = root ? 0 : own;
            break;
        case CollectiveKind::all_gather: expected.all_gather = message; break;
        case CollectiveKind::all_to_all: expected.all_to_all = message; break;
        case CollectiveKind::broadcast: expected.broadcast = message; return expected;
        case CollectiveKind::reduce_scatter: expected.scatter = message; break;
        case CollectiveKind::all_reduce:
            if (ranks * message <= kGatheredReductionBytes) {
                expected.all_gather = ranks * message;
                expected.sent = (ranks - 1) * message;
                return expected;
            }
            expected.scatter = expected.collect = message;
            expected.sent = (ranks - 1) * own; // its sums, to every peer
            break;
    }
    expected.sent += kind == CollectiveKind::all_gather ? (ranks - 1) * slice : message - own;
    return expected;
}

std::string describe(const MpiTraffic& t) {
    return fmt::format("all-gather {}, scatter {}, collect {}, all-to-all {}, broadcast {}, rooted {}, messages {}, library {}, sent {}", t.all_gather,
                       t.scatter, t.collect, t.all_to_all, t.broadcast, t.rooted, t.messages, t.library, t.sent);
}

} // namespace zerosim::tests

using namespace zerosim::tests;

extern "C" {

int MPI_Iallgather(const void* send, int send_count, MPI_Datatype send_type, void* receive, int count, MPI_Datatype type,
                   MPI_Comm comm, MPI_Request* request) {
    const std::int64_t slice = count * type_bytes(type);
    counted.all_gather += ranks_of(comm) * slice;
    counted.sent += (ranks_of(comm) - 1) * slice;
    return PMPI_Iallgather(send, send_count, send_type, receive, count, type, comm, request);
}

int MPI_Iallgatherv(const void* send, int send_count, MPI_Datatype send_type, void* receive, const int counts[],
                    const int displacements[], MPI_Datatype type, MPI_Comm comm, MPI_Request* request) {
    for (int peer = 0; peer < ranks_of(comm); ++peer) counted.collect += counts[peer] * type_bytes(type);
    counted.sent += (ranks_of(comm) - 1) * counts[rank_in(comm)] * type_bytes(type);
    return PMPI_Iallgatherv(send, send_count, send_type, receive, counts, displacements, type, comm, request);
}

int MPI_Ialltoall(const void* send, int send_count, MPI_Datatype send_type, void* receive, int count, MPI_Datatype type,
                  MPI_Comm comm, MPI_Request* request) {
    counted.all_to_all += ranks_of(comm) * count * type_bytes(type);
    counted.sent += (ranks_of(comm) - 1) * count * type_bytes(type);
    return PMPI_Ialltoall(send, send_count, send_type, receive, count, type, comm, request);
}

int MPI_Ialltoallv(const void* send, const int send_counts[], const int send_displacements[], MPI_Datatype send_type,
                   void* receive, const int counts[], const int displacements[], MPI_Datatype type, MPI_Comm comm,
                   MPI_Request* request) {
    std::int64_t sent = 0;
    for (int peer = 0; peer < ranks_of(comm); ++peer) sent += send_counts[peer] * type_bytes(send_type);
    const int any_peer = rank_in(comm) == 0 ? 1 : 0;
    counted.sent += sent;
    counted.scatter += sent + counts[any_peer] * type_bytes(type);
    return PMPI_Ialltoallv(send, send_counts, send_displacements, send_type, receive, counts, displacements, type, comm, request);
}

int MPI_Ibcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
    counted.broadcast += count * type_bytes(type);
    return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

int MPI_Igather(const void* send, int send_count, MPI_Datatype send_type, void* receive, int count, MPI_Datatype type, int root,
                MPI_Comm comm, MPI_Request* request) {
    const bool at_root = rank_in(comm) == root;
    counted.rooted += at_root ? ranks_of(comm) * count * type_bytes(type) : send_count * type_bytes(send_type);
    counted.sent += at_root ? 0 : send_count * type_bytes(send_type);
    return PMPI_Igather(send, send_count, send_type, receive, count, type, root, comm, request);
}

int MPI_Igatherv(const void* send, int send_count, MPI_Datatype send_type, void* receive, const int counts[], const int displacements[],
                 MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
    counted.collect += send_count * type_bytes(send_type);
    counted.sent += rank_in(comm) == root ? 0 : send_count * type_bytes(send_type);
    return PMPI_Igatherv(send, send_count, send_type, receive, counts, displacements, type, root, comm, request);
}

int MPI_Iscatter(const void* send, int send_count, MPI_Datatype send_type, void* receive, int count, MPI_Datatype type, int root,
                 MPI_Comm comm, MPI_Request* request) {
    const bool at_root = rank_in(comm) == root;
    counted.rooted += at_root ? ranks_of(comm) * send_count * type_bytes(send_type) : count * type_bytes(type);
    counted.sent += at_root ? (ranks_of(comm) - 1) * send_count * type_bytes(send_type) : 0;
    return PMPI_Iscatter(send, send_count, send_type, receive, count, type, root, comm, request);
}

int MPI_Isend(const void* data, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm, MPI_Request* request) {
    counted.messages += count * type_bytes(type);
    counted.sent += count * type_bytes(type);
    return PMPI_Isend(data, count, type, peer, tag, comm, request);
}

int MPI_Ireduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm, MPI_Request* request) {
    counted.library += count * type_bytes(type);
    return PMPI_Ireduce(send, receive, count, type, op, root, comm, request);
}

int MPI_Iallreduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request* request) {
    counted.library += count * type_bytes(type);
    return PMPI_Iallreduce(send, receive, count, type, op, comm, request);
}

int MPI_Ireduce_scatter_block(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                              MPI_Request* request) {
    counted.library += ranks_of(comm) * count * type_bytes(type);
    return PMPI_Ireduce_scatter_block(send, receive, count, type, op, comm, request);
}

} // extern "C"
