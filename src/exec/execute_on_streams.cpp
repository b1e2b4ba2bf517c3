#include "exec/execute_on_streams.hpp"

#include "exec/step_loop.hpp"
#include "exec/stream_interpreter.hpp"
#include "exec/stream_watch.hpp"

#include <chrono>
#include <thread>

namespace zerosim::exec {
namespace {

/// What the watch knew first, or hears in a moment: a peer says why it fails before it aborts its communicators, and the abort, which shows here
/// as an error of NCCL, may overtake its word.
RunError first_cause(StreamWatch& watch, const std::exception& of_host, std::int64_t rank, const StreamRankResources& resources, const schedule::Schedule& schedule) {
    constexpr std::chrono::milliseconds kWord{250}, kAgain{5};
    const auto until = std::chrono::steady_clock::now() + (resources.control != nullptr ? kWord : std::chrono::milliseconds{0});
    try {
        watch.check();
        for (; std::chrono::steady_clock::now() < until; watch.check()) std::this_thread::sleep_for(kAgain);
    } catch (const std::exception& known) {
        return located(known, rank, resources.progress, schedule);
    }
    return located(of_host, rank, resources.progress, schedule);
}

/// In a group all are told to abort before any is waited for. NCCL's abort waits for the device, where a kernel of one communicator may be behind one of
/// another that is not aborted yet (PyTorch: distributed_c10d.py, _abort_process_group; pytorch/pytorch#119797).
void abandon_together(const StreamCommunicators& communicators) noexcept {
    comm::StreamCommunicator* group = nullptr;
    communicators.for_each([&group](comm::StreamCommunicator& communicator) { group = &communicator; });
    if (group == nullptr) return;
    try {
        group->begin_group();
        communicators.abandon();
        group->end_group();
    } catch (const std::exception&) {                    // what led here is told; the watch ends what does not let go
        communicators.abandon();
    }
}

}  // namespace

device::GpuOptions gpu_options(const schedule::Schedule& schedule, const schedule::Program& program, const std::optional<schedule::ArenaPlan>& arena) {
    device::GpuOptions options;
    for (const schedule::Stream& stream : program.streams) options.streams.push_back({stream.kind == schedule::StreamKind::communication});
    for (const schedule::Pool& pool : program.pools) options.pools.push_back({std::string(schedule.names[pool.name]), pool.owner});
    if (arena) options.arena_bytes = arena->pool_bytes;
    return options;
}

RankResult execute_on_streams(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options) {
    StreamWatch watch(schedule, rank, resources, options);
    try {
        StreamInterpreter interpreter(schedule, rank, resources, options, watch);
        RankResult result = run_steps(interpreter, schedule, rank, resources.device, options);
        if (const device::DriverLedger* const ledger = resources.device.driver_ledger()) result.driver = ledger->memory();
        result.remarks = resources.device.remarks();
        return result;
    } catch (const std::exception& error) {
        const RunError whole = first_cause(watch, error, rank, resources, schedule);
        std::optional<comm::AbortNotice> notice;
        if (!whole.of_peer()) notice = comm::AbortNotice{static_cast<int>(rank), static_cast<int>(whole.code()), whole.what()};
        watch.host_failed(whole.what(), notice);
        abandon_together(resources.communicators);
        throw whole;
    }
}

}  // namespace zerosim::exec
