// exec::execute_rank: runs one rank's program for real, on a device and communicators, and returns what was measured.
// Called by cli/ (one call a process under mpirun, one a thread without) and by contract tests.
// Does not print, plan or validate.
#pragma once

#include "comm/channel_log.hpp"
#include "comm/communicator.hpp"
#include "comm/control_channel.hpp"
#include "comm/doorbell.hpp"
#include "data/initial_values.hpp"
#include "data/tokens.hpp"
#include "device/device.hpp"
#include "device/driver_memory.hpp"
#include "exec/fault.hpp"
#include "exec/final_parameters.hpp"
#include "schedule/memory.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::exec {

/// One communicator a (stream, axis): collectives of one stream keep their order, those of different streams need none.
template <class Communicator>
class CommunicatorTable {
public:
    CommunicatorTable(std::size_t streams, std::size_t axes) : axes_(axes), communicators_(streams * axes) {}
    void set(StreamId stream, AxisId axis, std::unique_ptr<Communicator> communicator) { communicators_[index(stream, axis)] = std::move(communicator); }
    [[nodiscard]] Communicator* get(StreamId stream, AxisId axis) { return communicators_[index(stream, axis)].get(); }
    void for_each(const std::function<void(Communicator&)>& body) const {
        for (const auto& communicator : communicators_)
            if (communicator) body(*communicator);
    }
    /// On the failure path, before the buffers go: peers may be reading them.
    void abandon() const noexcept {
        for (const auto& communicator : communicators_)
            if (communicator) communicator->abandon();
    }

private:
    [[nodiscard]] std::size_t index(StreamId stream, AxisId axis) const { return stream.index() * axes_ + axis.index(); }
    std::size_t axes_;
    std::vector<std::unique_ptr<Communicator>> communicators_;
};
using RankCommunicators = CommunicatorTable<comm::Communicator>;

/// (stream, axis) pairs on which a program issues collectives, ascending: the communicators to make, in this order on every rank.
[[nodiscard]] std::vector<std::pair<StreamId, AxisId>> communicators_needed(const schedule::Program& program);

/// All that the rank's program needs; `split(colour, key)` makes one, collectively over the world.
template <class Communicator, class Split>
[[nodiscard]] CommunicatorTable<Communicator> split_communicators(const schedule::Schedule& schedule, std::int64_t rank, const Split& split) {
    const schedule::Program& program = schedule.program_of(rank);
    CommunicatorTable<Communicator> result(program.streams.size(), schedule.axes.size());
    for (const auto& [stream, axis_id] : communicators_needed(program)) {
        const schedule::Axis& axis = schedule.axis(axis_id);
        const std::int64_t coordinate = axis.coordinate(rank);
        result.set(stream, axis_id, split(static_cast<int>(rank - coordinate * axis.stride), static_cast<int>(coordinate)));
    }
    return result;
}

/// What one rank works with. All outlive the call.
struct RankResources {
    device::Device& device;
    RankCommunicators& communicators;
    comm::ControlChannel* control = nullptr;     // null: alone
    comm::Progress& progress;
    data::TokenSource& tokens;
    comm::Doorbell* doorbell = nullptr;          // null: peers on other nodes, or threads: they poll
};

struct InitialValues {
    data::Scheme scheme = data::Scheme::normal;
    std::vector<data::Start> starts;             // by parameter
};

struct StepResult {
    int step = 0;
    double loss = 0, gradient_norm = 0, seconds = 0;
    bool skipped = false;                        // fp16: overflow, no update
    // Programs that leave the loss to each rank (eager frameworks): `loss` is this rank's, and the norm is its part's (combine_steps).
    bool local = false;
    bool whole_gradient = false;                 // this rank's part is all of the gradient
};

struct ExecuteOptions {
    int steps = 1;
    bool trace = true;
    std::uint64_t seed = 0;
    InitialValues initial;
    data::StepShape step_shape;                  // global batch and sequence length
    std::int64_t micro_batch = 1, gradient_accumulation = 1;
    std::optional<schedule::ArenaPlan> arena;    // planned offsets
    std::vector<double> synthetic_seconds;       // by op, program after program; not empty = kernels take this long instead of computing
    double timeout_seconds = 120;
    std::optional<Fault> fault;
    bool check_numerics = false;                 // every kernel's outputs are looked at
    std::function<void(const StepResult&)> on_step;
    /// Called by the communication thread when the host thread cannot end the rank itself (it hangs); must not return to normal work.
    std::function<void(const std::string&)> on_stuck;
    std::function<void()> leave;                 // fault `exit`: ends the process at once
    /// Asked by every rank before each step; false ends the run there, and must be the same for every rank. Empty: always.
    std::function<bool(int)> may_start_step;
};

struct RankResult {
    trace::RankTrace trace;
    std::vector<StepResult> steps;
    std::vector<FinalParameter> final_parameters; // this rank's parts
    std::int64_t peak_bytes = 0, end_bytes = 0;  // handed out by the device
    bool interrupted = false;
    device::DriverMemory driver;                 // GPUs
    std::vector<comm::PathUse> paths;            // GPUs of several ranks
    std::vector<std::string> remarks;            // of the device, for the report's notes
};

/// What the ranks observed alone, put together: losses are averaged, squared norms of parts added. Does nothing where rank 0 knows all.
void combine_steps(std::vector<RankResult>& ranks);

/// Throws RunError: what failed, with step and op in the text; peers have then been told. A loss that is not finite is
/// the same on every rank: rank 0 speaks.
[[nodiscard]] RankResult execute_rank(const schedule::Schedule& schedule, std::int64_t rank, RankResources resources, const ExecuteOptions& options);

}  // namespace zerosim::exec
