// FlightRing: the collectives a communicator has in flight, in the order they were started, found by ticket.
// Used by the host communicators.
// Does not make progress; allocates only when more are in flight than ever before.
#pragma once

#include "base/error.hpp"
#include "comm/communicator.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace zerosim::comm {

/// `Flight` is default-constructible and movable; a slot keeps its Flight's own buffers for the next user.
template <class Flight>
class FlightRing {
public:
    FlightRing() : slots_(kInitialSlots) {}

    /// The sequence number of the oldest unspent flight, and of the next one to start.
    [[nodiscard]] std::uint64_t begin() const { return begin_; }
    [[nodiscard]] std::uint64_t end() const { return end_; }
    [[nodiscard]] Flight& operator[](std::uint64_t sequence) { return slots_[sequence & (slots_.size() - 1)].flight; }

    /// A slot for the next flight, holding what its last user left.
    [[nodiscard]] std::pair<Ticket, Flight*> push() {
        if (end_ - begin_ == slots_.size()) grow();
        Slot& slot = slots_[end_ & (slots_.size() - 1)];
        slot.spent = false;
        return {static_cast<Ticket>(end_++), &slot.flight};
    }
    [[nodiscard]] std::uint64_t sequence(Ticket ticket) const {
        const std::uint64_t sequence = begin_ + static_cast<Ticket>(ticket - static_cast<Ticket>(begin_));
        check(sequence < end_ && !slots_[sequence & (slots_.size() - 1)].spent, "the ticket is spent or was never given");
        return sequence;
    }
    void spend(std::uint64_t sequence) {
        slots_[sequence & (slots_.size() - 1)].spent = true;
        while (begin_ < end_ && slots_[begin_ & (slots_.size() - 1)].spent) ++begin_;
    }

private:
    struct Slot {
        Flight flight;
        bool spent = true;
    };
    static constexpr std::size_t kInitialSlots = 16; // a power of two

    void grow() {
        std::vector<Slot> larger(slots_.size() * 2);
        for (std::uint64_t i = begin_; i != end_; ++i)
            larger[i & (larger.size() - 1)] = std::move(slots_[i & (slots_.size() - 1)]);
        slots_ = std::move(larger);
    }

    std::vector<Slot> slots_;
    std::uint64_t begin_ = 0, end_ = 0;
};

} // namespace zerosim::comm
