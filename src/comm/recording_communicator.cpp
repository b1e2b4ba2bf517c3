#include "comm/recording_communicator.hpp"

#include <utility>

namespace zerosim::comm {

RecordingCommunicator::RecordingCommunicator(std::unique_ptr<Communicator> inner, std::vector<RecordedCall>& log)
    : inner_(std::move(inner)), log_(&log) {}

int RecordingCommunicator::rank() const { return inner_->rank(); }
int RecordingCommunicator::size() const { return inner_->size(); }

Ticket RecordingCommunicator::start(const CollectiveCall& call) {
    log_->push_back({call.kind, call.reduction, call.dtype, call.count, call.root,
                     message_bytes(call.kind, call.count, call.dtype, inner_->size())});
    return inner_->start(call);
}

bool RecordingCommunicator::test(Ticket ticket) { return inner_->test(ticket); }
void RecordingCommunicator::abandon() noexcept { inner_->abandon(); }

} // namespace zerosim::comm
