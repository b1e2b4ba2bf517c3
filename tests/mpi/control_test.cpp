// The ControlChannel contract on MPI processes.
#include "contract/control_contract.hpp"

#include "comm/mpi_communicator.hpp"
#include "comm/mpi_control.hpp"

namespace zerosim::comm::contract {
namespace {

struct Mpi {
    static std::vector<int> sizes() {
        int size = 0;
        MPI_Comm_size(MPI_COMM_WORLD, &size);
        return {size};
    }
    static void each_rank(int, const std::function<void(Communicator&, ControlChannel&)>& body) {
        MpiCommunicator communicator(MPI_COMM_WORLD);
        MpiControl control(MPI_COMM_WORLD);
        body(communicator, control);
    }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Mpi, ControlContract, Mpi);

TEST(MpiControl, LongReasonsAreCut) {
    MpiCommunicator communicator(MPI_COMM_WORLD);
    MpiControl control(MPI_COMM_WORLD);
    Progress mine;
    if (communicator.rank() == 0) {
        control.announce_abort({0, 3, std::string(5000, 'y')});
    } else {
        std::optional<AbortNotice> notice;
        while (!(notice = control.serve(mine))) std::this_thread::yield();
        EXPECT_EQ(notice->reason, std::string(1024, 'y'));
    }
    meet(communicator, [] {});
}

} // namespace
} // namespace zerosim::comm::contract
