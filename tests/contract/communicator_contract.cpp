// Communicator and ControlChannel contracts on ranks that are threads.
#include "contract/communicator_contract.hpp"

#include "contract/control_contract.hpp"
#include "contract/local_ranks.hpp"

namespace zerosim::comm::contract {
namespace {

struct Local {
    static constexpr std::int64_t kSegmentBytes = 4000;
    static std::vector<int> sizes() { return {1, 2, 3, 4, 5, 8}; }
    static void each_rank(int ranks, const std::function<void(Communicator&)>& body) {
        run_local(ranks, [&](Communicator& communicator, ControlChannel&) { body(communicator); });
    }
};

struct LocalWithControl {
    static std::vector<int> sizes() { return {2, 3, 5}; }
    static void each_rank(int ranks, const std::function<void(Communicator&, ControlChannel&)>& body) { run_local(ranks, body); }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Local, CommunicatorContract, Local);
INSTANTIATE_TYPED_TEST_SUITE_P(Local, ControlContract, LocalWithControl);

} // namespace
} // namespace zerosim::comm::contract
