#include "comm/local_communicator.hpp"

#include "base/error.hpp"
#include "comm/flight_ring.hpp"
#include "comm/local_control.hpp"
#include "comm/rank_order_sum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace zerosim::comm {

namespace {

// How far a rank is with a collective. A stage word is sequence * 4 + stage: it only grows, so slots need no reset.
enum Stage : std::uint64_t { posted = 1, summed = 2, finished = 3 };

/// What a rank shows its peers of one collective: a cache line of its own.
struct alignas(64) Published {
    std::atomic<std::uint64_t> stage{0};
    CollectiveCall call;
};

// Collectives of one rank visible to peers at a time; more in flight wait in the rank's own ring.
constexpr std::uint64_t kSlots = 64;

struct alignas(64) Endpoint {
    std::atomic<bool> transferring{false}; // reads peers' buffers right now
};

} // namespace

struct LocalGroup {
    explicit LocalGroup(int n)
        : ranks(n), published(static_cast<std::size_t>(n) * kSlots), endpoints(static_cast<std::size_t>(n)) {}
    [[nodiscard]] Published& slot(int rank, std::uint64_t sequence) {
        return published[static_cast<std::size_t>(rank) * kSlots + sequence % kSlots];
    }

    int ranks;
    std::vector<Published> published;
    std::vector<Endpoint> endpoints;
    std::atomic<bool> abandoned{false}; // a member has left with collectives in flight: nobody may read its buffers
};

namespace {

struct Flight {
    enum class State : std::uint8_t { queued, posted, summed, finished, complete };
    CollectiveCall call;
    State state = State::queued;
    int peers = 0; // peers seen to have reached the stage waited for
};

/// Marks the rank as reading peers' buffers. Pairs with abandon(): either sees the other (sequentially consistent).
class TransferGuard {
public:
    explicit TransferGuard(LocalGroup& group, int rank) : endpoint_(group.endpoints[static_cast<std::size_t>(rank)]) {
        endpoint_.transferring.store(true);
        if (group.abandoned.load()) {
            endpoint_.transferring.store(false);
            throw EnvironmentError("a rank left its group with a collective in flight");
        }
    }
    ~TransferGuard() { endpoint_.transferring.store(false, std::memory_order_release); }
    TransferGuard(const TransferGuard&) = delete;
    TransferGuard& operator=(const TransferGuard&) = delete;

private:
    Endpoint& endpoint_;
};

class LocalCommunicator final : public Communicator {
public:
    LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank)
        : group_(std::move(group)), rank_(rank), sources_(static_cast<std::size_t>(group_->ranks)) {}
    ~LocalCommunicator() override { abandon(); }
    LocalCommunicator(const LocalCommunicator&) = delete;
    LocalCommunicator& operator=(const LocalCommunicator&) = delete;

    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return group_->ranks; }
    [[nodiscard]] Ticket start(const CollectiveCall& call) override;
    [[nodiscard]] bool test(Ticket ticket) override;
    void abandon() noexcept override;

private:
    void advance(Flight& flight, std::uint64_t sequence);
    [[nodiscard]] bool publish(Flight& flight, std::uint64_t sequence);
    [[nodiscard]] bool all_reached(Flight& flight, std::uint64_t sequence, Stage stage);
    void reach(Flight& flight, std::uint64_t sequence, Stage stage, Flight::State state);
    void check_same(const CollectiveCall& mine, const CollectiveCall& theirs, int peer, std::uint64_t sequence) const;
    void transfer(const CollectiveCall& call, std::uint64_t sequence);
    void sum_chunk(const CollectiveCall& call, std::uint64_t sequence, std::byte* out);
    void sum_slice(const CollectiveCall& call, std::uint64_t sequence, std::int64_t begin, std::int64_t count, std::byte* out);
    void collect_chunks(const CollectiveCall& call, std::uint64_t sequence);

    std::shared_ptr<LocalGroup> group_;
    int rank_;
    FlightRing<Flight> ring_;
    std::uint64_t incomplete_ = 0; // the oldest flight that is not complete
    std::vector<const void*> sources_;
};

[[nodiscard]] const std::byte* bytes(const void* data) { return static_cast<const std::byte*>(data); }
[[nodiscard]] std::byte* bytes(void* data) { return static_cast<std::byte*>(data); }

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t count) {
    if (to != from && count > 0) std::memcpy(to, from, static_cast<std::size_t>(count));
}

Ticket LocalCommunicator::start(const CollectiveCall& call) {
    check_call(call, rank_, size());
    const auto [ticket, flight] = ring_.push();
    *flight = Flight{call, Flight::State::queued, 0};
    (void)publish(*flight, ring_.end() - 1);
    return ticket;
}

bool LocalCommunicator::test(Ticket ticket) {
    const std::uint64_t asked = ring_.sequence(ticket);
    for (std::uint64_t i = incomplete_; i != ring_.end(); ++i) {
        if (ring_[i].state != Flight::State::complete) advance(ring_[i], i);
        if (i == incomplete_ && ring_[i].state == Flight::State::complete) ++incomplete_;
    }
    if (ring_[asked].state != Flight::State::complete) {
        if (group_->abandoned.load(std::memory_order_relaxed))
            throw EnvironmentError("a rank left its group with a collective in flight");
        return false;
    }
    ring_.spend(asked);
    return true;
}

void LocalCommunicator::abandon() noexcept {
    bool in_flight = false;
    for (std::uint64_t i = incomplete_; i != ring_.end(); ++i) in_flight = in_flight || ring_[i].state != Flight::State::complete;
    if (!in_flight) return;
    group_->abandoned.store(true);
    for (Endpoint& peer : group_->endpoints)
        while (peer.transferring.load()) std::this_thread::yield();
}

/// Shows the call to the peers, unless its slot still shows one that is not complete.
bool LocalCommunicator::publish(Flight& flight, std::uint64_t sequence) {
    if (sequence - incomplete_ >= kSlots) return false;
    group_->slot(rank_, sequence).call = flight.call;
    reach(flight, sequence, posted, Flight::State::posted);
    return true;
}

void LocalCommunicator::reach(Flight& flight, std::uint64_t sequence, Stage stage, Flight::State state) {
    group_->slot(rank_, sequence).stage.store(sequence * 4 + stage, std::memory_order_release);
    flight.state = state;
    flight.peers = 0;
}

bool LocalCommunicator::all_reached(Flight& flight, std::uint64_t sequence, Stage stage) {
    for (; flight.peers < group_->ranks; ++flight.peers) {
        const Published& peer = group_->slot(flight.peers, sequence);
        if (peer.stage.load(std::memory_order_acquire) < sequence * 4 + stage) return false;
        if (stage == posted) check_same(flight.call, peer.call, flight.peers, sequence);
    }
    return true;
}

void LocalCommunicator::advance(Flight& flight, std::uint64_t sequence) {
    if (flight.state == Flight::State::queued && !publish(flight, sequence)) return;
    if (flight.state == Flight::State::posted) {
        if (!all_reached(flight, sequence, posted)) return;
        transfer(flight.call, sequence);
        const bool more = flight.call.kind == CollectiveKind::all_reduce;
        reach(flight, sequence, more ? summed : finished, more ? Flight::State::summed : Flight::State::finished);
    }
    if (flight.state == Flight::State::summed) {
        if (!all_reached(flight, sequence, summed)) return;
        collect_chunks(flight.call, sequence);
        reach(flight, sequence, finished, Flight::State::finished);
    }
    // Only when every peer has read this rank's buffers may their owner use them again.
    if (flight.state == Flight::State::finished && all_reached(flight, sequence, finished))
        flight.state = Flight::State::complete;
}

void LocalCommunicator::check_same(const CollectiveCall& mine, const CollectiveCall& theirs, int peer,
                                   std::uint64_t sequence) const {
    if (mine.kind == theirs.kind && mine.dtype == theirs.dtype && mine.count == theirs.count && mine.root == theirs.root)
        [[likely]]
        return;
    throw BugError(
        fmt::format("collective {} of the group differs: rank {} has {} of {} {}, root {}; rank {} has {} of {} {}, root {}",
                    sequence, rank_, name(mine.kind), mine.count, name(mine.dtype), mine.root, peer, name(theirs.kind),
                    theirs.count, name(theirs.dtype), theirs.root));
}

/// This rank's part of the first stage: everything, except that an all-reduce leaves the others' chunks to collect_chunks.
void LocalCommunicator::transfer(const CollectiveCall& call, std::uint64_t sequence) {
    if (call.count == 0) return;
    const TransferGuard guard(*group_, rank_);
    const std::int64_t slice = call.count * size_of(call.dtype);
    std::byte* receive = bytes(call.receive);
    const CollectiveCall& root = group_->slot(call.root, sequence).call;
    switch (call.kind) {
        case CollectiveKind::all_gather:
        case CollectiveKind::all_to_all:
            for (int i = 0; i < size(); ++i) {
                const int peer = (rank_ + i) % size(); // ranks start at different peers: their reads spread over the buffers
                const std::int64_t offset = call.kind == CollectiveKind::all_to_all ? rank_ * slice : 0;
                copy_bytes(receive + peer * slice, bytes(group_->slot(peer, sequence).call.send) + offset, slice);
            }
            return;
        case CollectiveKind::broadcast:
            if (receive) copy_bytes(receive, bytes(root.send), slice);
            return;
        case CollectiveKind::reduce_scatter: return sum_slice(call, sequence, rank_ * call.count, call.count, receive);
        case CollectiveKind::all_reduce: return sum_chunk(call, sequence, receive);
        case CollectiveKind::reduce: return sum_chunk(call, sequence, bytes(root.receive)); // each its part, where the root wants it
        case CollectiveKind::gather: return copy_bytes(bytes(root.receive) + rank_ * slice, bytes(call.send), slice);
        case CollectiveKind::scatter: return copy_bytes(receive, bytes(root.send) + rank_ * slice, slice);
        case CollectiveKind::send_recv:
            return copy_bytes(receive, bytes(group_->slot((rank_ + size() - 1) % size(), sequence).call.send), slice);
    }
}

/// This rank's share of a whole sum, into its place in `out`.
void LocalCommunicator::sum_chunk(const CollectiveCall& call, std::uint64_t sequence, std::byte* out) {
    const std::int64_t chunk = (call.count + size() - 1) / size();
    const std::int64_t begin = std::min(rank_ * chunk, call.count);
    const std::int64_t count = std::min(chunk, call.count - begin);
    sum_slice(call, sequence, begin, count, out + begin * size_of(call.dtype));
}

void LocalCommunicator::sum_slice(const CollectiveCall& call, std::uint64_t sequence, std::int64_t begin, std::int64_t count,
                                  std::byte* out) {
    for (int peer = 0; peer < size(); ++peer)
        sources_[static_cast<std::size_t>(peer)] = bytes(group_->slot(peer, sequence).call.send) + begin * size_of(call.dtype);
    rank_order_sum(call.dtype, sources_, out, count, call.reduction);
}

/// Second stage of an all-reduce: the chunks the peers have summed.
void LocalCommunicator::collect_chunks(const CollectiveCall& call, std::uint64_t sequence) {
    const TransferGuard guard(*group_, rank_);
    const std::int64_t chunk = (call.count + size() - 1) / size();
    for (int i = 1; i < size(); ++i) {
        const int peer = (rank_ + i) % size();
        const std::int64_t begin = std::min(peer * chunk, call.count);
        const std::int64_t count = std::min(chunk, call.count - begin);
        const std::int64_t offset = begin * size_of(call.dtype);
        copy_bytes(bytes(call.receive) + offset, bytes(group_->slot(peer, sequence).call.receive) + offset,
                   count * size_of(call.dtype));
    }
}

} // namespace

LocalWorld::LocalWorld(int ranks) : ranks_(ranks) {
    check(ranks > 0, "a world has at least one rank");
    group_ = std::make_shared<LocalGroup>(ranks);
    control_ = make_local_control_group(ranks);
}

std::unique_ptr<Communicator> LocalWorld::communicator(int rank) const {
    check(rank >= 0 && rank < ranks_, "the rank is not one of the world");
    return std::make_unique<LocalCommunicator>(group_, rank);
}

std::unique_ptr<ControlChannel> LocalWorld::control(int rank) const {
    check(rank >= 0 && rank < ranks_, "the rank is not one of the world");
    return make_local_control(control_, rank);
}

} // namespace zerosim::comm
