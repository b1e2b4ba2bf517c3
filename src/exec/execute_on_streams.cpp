#include "exec/execute_on_streams.hpp"

#include "exec/step_loop.hpp"
#include "exec/stream_interpreter.hpp"

namespace zerosim::exec {

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
