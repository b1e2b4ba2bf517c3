#include "exec/execute_on_streams.hpp"

#include "exec/step_loop.hpp"
#include "exec/stream_interpreter.hpp"

namespace zerosim::exec {

device::GpuOptions gpu_options(const schedule::Schedule& schedule, const schedule::Program& program, const std::optional<schedule::ArenaPlan>& arena) {
    device::GpuOptions options;
    for (const schedule::Stream& stream : program.streams) options.streams.push_back({stream.kind == schedule::StreamKind::communication});
    for (const schedule::Pool& pool : program.pools) options.pools.push_back({std::string(schedule.names[pool.name]), pool.owner});
    if (arena) options.arena_bytes = arena->pool_bytes;
    return options;
}

RankResult execute_on_streams(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options) {
    try {
        StreamInterpreter interpreter(schedule, rank, resources, options);
        RankResult result = run_steps(interpreter, schedule, rank, resources.device, options);
        if (const device::DriverLedger* const ledger = resources.device.driver_ledger()) result.driver = ledger->memory();
        return result;
    } catch (const std::exception& error) {
        const RunError whole = located(error, rank, resources.progress, schedule);
        if (!whole.of_peer() && resources.control != nullptr) resources.control->announce_abort({static_cast<int>(rank), static_cast<int>(whole.code()), whole.what()});
        resources.communicators.abandon();
        throw whole;
    }
}

}  // namespace zerosim::exec
