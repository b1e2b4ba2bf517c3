// The control channel of MPI processes: small messages on a communicator of their own.
// Made by cli/ beside the world's MpiCommunicator; served by the communication thread, the only one that calls MPI.
// Does not use collectives: it must work while they hang.
#pragma once

#include "comm/control_channel.hpp"
#include "comm/mpi_handle.hpp"

#include <deque>
#include <memory>

namespace zerosim::comm {

struct ControlMessage;

class MpiControl final : public ControlChannel {
public:
    /// Collective over `parent`.
    explicit MpiControl(MPI_Comm parent);
    ~MpiControl() override;
    MpiControl(const MpiControl&) = delete;
    MpiControl& operator=(const MpiControl&) = delete;

    [[nodiscard]] std::optional<AbortNotice> serve(const Progress& mine) override;
    [[nodiscard]] std::vector<PeerStatus> query(const Progress& mine, std::chrono::milliseconds patience) override;
    /// From the communication thread, or once that has ended. Reasons are cut at 1 KiB.
    void announce_abort(const AbortNotice& notice) override;

private:
    struct Sending {
        std::unique_ptr<ControlMessage> message;
        MPI_Request request;
    };

    void send(int peer, std::unique_ptr<ControlMessage> message);
    void drop_sent();
    void receive_all(const Progress& mine);
    void handle(const ControlMessage& message, int peer, const Progress& mine);

    MpiComm comm_;
    int rank_, size_;
    std::deque<Sending> sending_;
    std::deque<AbortNotice> notices_; // received, not yet returned
    std::vector<PeerStatus> answers_; // to the question `question_`, by rank
    std::int64_t question_ = 0;
    bool announced_ = false;
    std::chrono::steady_clock::time_point next_look_{};
};

} // namespace zerosim::comm
