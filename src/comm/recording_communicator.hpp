// RecordingCommunicator: passes collectives on and writes down what was asked.
// Used by tests that compare what an engine communicates with its schedule.
// Does not change, delay or time anything.
#pragma once

#include "comm/communicator.hpp"

#include <memory>
#include <vector>

namespace zerosim::comm {

struct RecordedCall {
    CollectiveKind kind{};
    Reduction reduction = Reduction::none;
    DType dtype = DType::fp32;
    std::int64_t count = 0;
    int root = 0;
    std::int64_t message_bytes = 0;
    friend bool operator==(const RecordedCall&, const RecordedCall&) = default;
};

class RecordingCommunicator final : public Communicator {
public:
    /// `log` outlives the communicator and belongs to the calling thread.
    RecordingCommunicator(std::unique_ptr<Communicator> inner, std::vector<RecordedCall>& log);
    [[nodiscard]] int rank() const override;
    [[nodiscard]] int size() const override;
    [[nodiscard]] Ticket start(const CollectiveCall& call) override;
    [[nodiscard]] bool test(Ticket ticket) override;
    void abandon() noexcept override;

private:
    std::unique_ptr<Communicator> inner_;
    std::vector<RecordedCall>* log_;
};

} // namespace zerosim::comm
