// One rank's part of a collective whose result is known: what it sends, and what it must have received.
// Used by the benchmarks of collectives, on the host and on GPUs.
// Owns no buffer and starts nothing.
#pragma once

#include "comm/communicator.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zerosim::cli {

/// Neither back end exchanges in place.
[[nodiscard]] constexpr bool has_in_place(CollectiveKind kind) { return kind != CollectiveKind::all_to_all && kind != CollectiveKind::send_recv; }

/// Small integers, so small that their sum over all ranks is exact in every type, in any order. Buffers are as long on every rank, as in nccl-tests,
/// though some of a gather's or scatter's are the root's alone.
struct CollectiveExercise {
    CollectiveExercise(CollectiveKind kind, DType type, std::int64_t bytes, int rank, int ranks, int root = 0, Reduction reduction = Reduction::sum);
    [[nodiscard]] std::int64_t sent_bytes() const { return sent * size_of(type); }
    [[nodiscard]] std::int64_t received_bytes() const { return received * size_of(type); }
    [[nodiscard]] std::vector<std::byte> contents() const;
    [[nodiscard]] comm::CollectiveCall call(const void* send, void* receive, void* scratch) const;
    /// Elements that are not what they must be. `in_place`: the root of a broadcast has its own there, else nothing is written to it.
    [[nodiscard]] std::int64_t wrong(const std::byte* result, bool in_place) const;
    /// Where the sent part lies in a buffer that is sent and received in place, in bytes; the received part likewise.
    [[nodiscard]] std::int64_t send_offset() const { return sent < received ? rank * sent_bytes() : 0; }
    [[nodiscard]] std::int64_t receive_offset() const { return received < sent ? rank * received_bytes() : 0; }

    CollectiveKind kind;
    DType type;
    int rank, ranks, root;
    Reduction reduction;                      // none for kinds that do not reduce
    std::int64_t count;                       // elements passed to the communicator
    std::int64_t sent = 0, received = 0;      // elements of the two buffers

private:
    [[nodiscard]] double pattern(std::int64_t of_rank, std::int64_t index) const { return static_cast<double>((of_rank * 7 + index) % modulus_); }
    [[nodiscard]] double reduced(std::int64_t index) const;
    [[nodiscard]] double expected(std::int64_t index) const;
    std::int64_t modulus_;
    std::vector<double> sums_;                // over the ranks, by index modulo modulus_: the patterns repeat
};

}  // namespace zerosim::cli
