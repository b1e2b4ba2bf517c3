#include "comm/mpi_reduction.hpp"

#include "base/error.hpp"
#include "comm/rank_order_sum.hpp"

#include <algorithm>
#include <cstddef>

namespace zerosim::comm {

namespace {

[[nodiscard]] bool done(MPI_Request& request) {
    int flag = 0;
    check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Test");
    return flag != 0;
}

} // namespace

MPI_Datatype mpi_type(DType dtype) {
    switch (dtype) {
        case DType::fp32: return MPI_FLOAT;
        case DType::fp64: return MPI_DOUBLE;
        case DType::bf16:
        case DType::fp16: return MPI_UINT16_T;
        case DType::int32: return MPI_INT32_T;
        case DType::int64: return MPI_INT64_T;
        case DType::uint8: return MPI_UINT8_T;
    }
    return MPI_BYTE;
}

void MpiReduction::Counts::push(std::int64_t count, std::int64_t displacement) {
    counts.push_back(static_cast<int>(count));
    displacements.push_back(static_cast<int>(displacement));
}

void MpiReduction::begin(const CollectiveCall& call, MPI_Comm comm, int rank, int size, std::int64_t segment_bytes) {
    check(call.scratch, "a reduction on MPI needs scratch");
    call_ = call;
    comm_ = comm;
    rank_ = rank;
    size_ = size;
    elements_ = whole() ? call.count : call.count * size;
    slice_ = (elements_ + size - 1) / size;
    segment_ = std::max<std::int64_t>(segment_bytes / size_of(call.dtype), 1);
    segments_ = (slice_ + segment_ - 1) / segment_;
    scattered_ = summed_ = 0;
    sources_.resize(static_cast<std::size_t>(size));
}

MpiReduction::Part MpiReduction::part(std::int64_t segment, int peer) const {
    const std::int64_t slice_end = std::min((peer + 1) * slice_, elements_);
    const std::int64_t begin = std::min(peer * slice_ + segment * segment_, slice_end);
    return {begin, std::min(segment_, slice_end - begin)};
}

std::int64_t MpiReduction::scratch_offset(std::int64_t segment, int peer) const {
    const std::int64_t index = peer < rank_ ? peer : peer - 1; // the own part is summed from where it lies
    return segment % kDepth * (size_ - 1) * segment_ + index * part(segment, rank_).count;
}

void MpiReduction::start_scatters() {
    while (scattered_ < std::min(segments_, summed_ + kDepth)) scatter(scattered_++);
}

void MpiReduction::start_first() { start_scatters(); }

void MpiReduction::advance() {
    start_scatters();
    while (summed_ < segments_) {
        Slot& next = slot(summed_);
        if (!done(next.scatter)) return;
        if (whole() && !done(next.gather)) return; // its lists are about to be used again
        sum(summed_);
        if (whole()) gather(summed_);
        ++summed_;
        start_scatters();
    }
}

bool MpiReduction::complete() {
    if (!all_started()) return false;
    return std::all_of(slots_.begin(), slots_.end(), [](Slot& last) { return done(last.gather); });
}

/// Every rank receives its own part of a segment from all the others.
void MpiReduction::scatter(std::int64_t segment) {
    Slot& in = slot(segment);
    in.sent.clear();
    in.received.clear();
    const std::int64_t own = part(segment, rank_).count;
    for (int peer = 0; peer < size_; ++peer) {
        const Part theirs = part(segment, peer);
        in.sent.push(peer == rank_ ? 0 : theirs.count, theirs.begin);
        in.received.push(peer == rank_ ? 0 : own, peer == rank_ ? 0 : scratch_offset(segment, peer));
    }
    const MPI_Datatype type = mpi_type(call_.dtype);
    check_mpi(MPI_Ialltoallv(call_.send, in.sent.counts.data(), in.sent.displacements.data(), type, call_.scratch,
                             in.received.counts.data(), in.received.displacements.data(), type, comm_, &in.scatter),
              "MPI_Ialltoallv");
}

void MpiReduction::gather(std::int64_t segment) {
    Slot& out = slot(segment);
    out.gathered.clear();
    for (int peer = 0; peer < size_; ++peer) {
        const Part theirs = part(segment, peer);
        out.gathered.push(theirs.count, theirs.begin);
    }
    const MPI_Datatype type = mpi_type(call_.dtype);
    if (call_.kind == CollectiveKind::reduce) {
        const void* const own = has_result() ? MPI_IN_PLACE : out.sums.data();
        check_mpi(MPI_Igatherv(own, out.gathered.counts[static_cast<std::size_t>(rank_)], type, call_.receive, out.gathered.counts.data(),
                               out.gathered.displacements.data(), type, call_.root, comm_, &out.gather),
                  "MPI_Igatherv");
        return;
    }
    check_mpi(MPI_Iallgatherv(MPI_IN_PLACE, 0, type, call_.receive, out.gathered.counts.data(), out.gathered.displacements.data(),
                              type, comm_, &out.gather),
              "MPI_Iallgatherv");
}

std::byte* MpiReduction::sum_address(std::int64_t segment) {
    const Part own = part(segment, rank_);
    const std::int64_t bytes = size_of(call_.dtype);
    if (has_result()) return static_cast<std::byte*>(call_.receive) + (whole() ? own.begin : segment * segment_) * bytes;
    std::vector<std::byte>& sums = slot(segment).sums;
    sums.resize(static_cast<std::size_t>(std::max(own.count * bytes, static_cast<std::int64_t>(sums.size()))));
    return sums.data();
}

void MpiReduction::sum(std::int64_t segment) {
    const std::int64_t bytes = size_of(call_.dtype);
    const Part own = part(segment, rank_);
    for (int peer = 0; peer < size_; ++peer) {
        const std::byte* from = peer == rank_
                                    ? static_cast<const std::byte*>(call_.send) + own.begin * bytes
                                    : static_cast<const std::byte*>(call_.scratch) + scratch_offset(segment, peer) * bytes;
        sources_[static_cast<std::size_t>(peer)] = from;
    }
    rank_order_sum(call_.dtype, sources_, sum_address(segment), own.count, call_.reduction);
}

} // namespace zerosim::comm
