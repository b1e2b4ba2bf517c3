// LocalWorld: ranks as threads of one process; makes a Communicator and a ControlChannel for each.
// Called by cli/ (run without mpirun: one world per group of ranks) and by tests.
// Starts no threads and owns no buffers; each endpoint belongs to one thread at a time.
#pragma once

#include "comm/communicator.hpp"
#include "comm/control_channel.hpp"

#include <memory>

namespace zerosim::comm {

struct LocalGroup;
struct LocalControlGroup;

/// Endpoints share the world's state and may outlive it. Sub-groups (mesh axes) are worlds of their own.
class LocalWorld {
public:
    explicit LocalWorld(int ranks);
    [[nodiscard]] int size() const { return ranks_; }
    /// One endpoint per rank; ranks of a group are 0 .. size() - 1.
    [[nodiscard]] std::unique_ptr<Communicator> communicator(int rank) const;
    [[nodiscard]] std::unique_ptr<ControlChannel> control(int rank) const;

private:
    int ranks_;
    std::shared_ptr<LocalGroup> group_;
    std::shared_ptr<LocalControlGroup> control_;
};

} // namespace zerosim::comm
