#include "comm/mpi_control.hpp"

#include "comm/backoff.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace zerosim::comm {

/// One fixed layout for all: ranks run the same binary. Well below the eager limit, so a send does not wait for its receiver.
struct ControlMessage {
    enum Type : std::int32_t { query, answer, abort };
    std::int32_t type = query;
    std::int32_t code = 0;
    std::int64_t question = 0; // of the asker: late answers to an older one are told apart
    std::int64_t step = 0, op = -1, collectives = 0, collective_op = -1;
    std::int32_t length = 0;
    std::array<char, 1024> reason{};
};

namespace {

constexpr int kTag = 1;
// MPI_Iprobe makes progress and costs up to microseconds; serve() is called between polls, so it looks this often at most.
// Two orders of magnitude below any patience.
constexpr std::chrono::microseconds kLookInterval{200};

[[nodiscard]] int wire_bytes(const ControlMessage& message) {
    return static_cast<int>(offsetof(ControlMessage, reason)) + message.length;
}

} // namespace

MpiControl::MpiControl(MPI_Comm parent)
    : comm_(MpiComm::duplicate(parent)), rank_(comm_.rank()), size_(comm_.size()), answers_(static_cast<std::size_t>(size_)) {}

MpiControl::~MpiControl() {
    int finalized = 0;
    if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized) return;
    for (Sending& sending : sending_) {
        int done = 0;
        if (MPI_Test(&sending.request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done) continue;
        (void)MPI_Request_free(&sending.request);
        (void)sending.message.release(); // MPI may still read it
    }
}

std::optional<AbortNotice> MpiControl::serve(const Progress& mine) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look_) {
        next_look_ = now + kLookInterval;
        receive_all(mine);
    }
    if (notices_.empty()) return std::nullopt;
    AbortNotice notice = std::move(notices_.front());
    notices_.pop_front();
    return notice;
}

std::vector<PeerStatus> MpiControl::query(const Progress& mine, std::chrono::milliseconds patience) {
    ++question_;
    for (int peer = 0; peer < size_; ++peer) {
        answers_[static_cast<std::size_t>(peer)] = PeerStatus{.rank = peer};
        if (peer == rank_) continue;
        auto message = std::make_unique<ControlMessage>();
        message->question = question_;
        send(peer, std::move(message));
    }
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const auto missing = [&] {
        return std::any_of(answers_.begin(), answers_.end(),
                           [&](const PeerStatus& peer) { return peer.rank != rank_ && !peer.answered; });
    };
    Backoff backoff;
    while (missing() && std::chrono::steady_clock::now() < deadline) {
        receive_all(mine);
        backoff.pause();
    }
    std::vector<PeerStatus> peers = answers_;
    peers.erase(peers.begin() + rank_);
    return peers;
}

void MpiControl::announce_abort(const AbortNotice& notice) {
    if (std::exchange(announced_, true)) return; // the first reason is the one that matters
    for (int peer = 0; peer < size_; ++peer) {
        if (peer == rank_) continue;
        auto message = std::make_unique<ControlMessage>();
        message->type = ControlMessage::abort;
        message->code = notice.code;
        message->length = static_cast<std::int32_t>(std::min(notice.reason.size(), message->reason.size()));
        std::memcpy(message->reason.data(), notice.reason.data(), static_cast<std::size_t>(message->length));
        send(peer, std::move(message));
    }
}

void MpiControl::send(int peer, std::unique_ptr<ControlMessage> message) {
    drop_sent();
    Sending& sending = sending_.emplace_back(Sending{std::move(message), MPI_REQUEST_NULL});
    check_mpi(MPI_Isend(sending.message.get(), wire_bytes(*sending.message), MPI_BYTE, peer, kTag, comm_.get(), &sending.request),
              "MPI_Isend");
}

void MpiControl::drop_sent() {
    std::erase_if(sending_, [](Sending& sending) {
        int done = 0;
        check_mpi(MPI_Test(&sending.request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        return done != 0;
    });
}

void MpiControl::receive_all(const Progress& mine) {
    for (;;) {
        int arrived = 0;
        MPI_Status status;
        check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kTag, comm_.get(), &arrived, &status), "MPI_Iprobe");
        if (!arrived) return;
        ControlMessage message;
        check_mpi(MPI_Recv(&message, sizeof message, MPI_BYTE, status.MPI_SOURCE, kTag, comm_.get(), MPI_STATUS_IGNORE),
                  "MPI_Recv");
        handle(message, status.MPI_SOURCE, mine);
    }
}

void MpiControl::handle(const ControlMessage& message, int peer, const Progress& mine) {
    switch (message.type) {
        case ControlMessage::query: {
            auto answer = std::make_unique<ControlMessage>();
            answer->type = ControlMessage::answer;
            answer->question = message.question;
            answer->step = mine.step.load(std::memory_order_relaxed);
            answer->op = mine.op.load(std::memory_order_relaxed);
            answer->collectives = mine.collectives.load(std::memory_order_relaxed);
            answer->collective_op = mine.collective_op.load(std::memory_order_relaxed);
            return send(peer, std::move(answer));
        }
        case ControlMessage::answer:
            if (message.question != question_) return;
            answers_[static_cast<std::size_t>(peer)] = {
                peer, true, message.step, message.op, message.collectives, message.collective_op};
            return;
        case ControlMessage::abort:
            notices_.push_back(
                {peer, message.code, std::string(message.reason.data(), static_cast<std::size_t>(message.length))});
            return;
    }
}

} // namespace zerosim::comm
