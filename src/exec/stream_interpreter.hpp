// StreamInterpreter: one rank's host thread where the device has streams (CUDA): issues every op of the program onto its stream, orders
// streams by events, and waits only where the program says so. Made by execute_on_streams.
// The host never waits for a kernel but at host_wait: what overlaps is the schedule's business. Does not know strategies.
#pragma once

#include "device/stream_device.hpp"
#include "exec/execute_on_streams.hpp"
#include "exec/micro_batch.hpp"
#include "exec/rank_memory.hpp"
#include "exec/step_scalars.hpp"

#include <array>
#include <optional>
#include <vector>

namespace zerosim::exec {

class StreamWatch;

class StreamInterpreter {
public:
    StreamInterpreter(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options, StreamWatch& watch);

    /// Runs one segment as step `step` (0 = init); the segment ends with a host_wait, so all of it is done on return.
    void run(schedule::Segment segment, int step);
    [[nodiscard]] StepResult step_result(int step);
    [[nodiscard]] trace::RankTrace take_trace() { return std::move(trace_); }
    [[nodiscard]] const RankMemory& memory() const { return memory_; }
    [[nodiscard]] std::int64_t device_peak_bytes() const { return resources_.device.peak_bytes(); }
    [[nodiscard]] std::int64_t device_bytes() const { return resources_.device.handed_out_bytes(); }

private:
    using Event = device::StreamDevice::Event;
    /// The events around an op on its stream. `end` also serves ops of other streams that depend on it.
    struct OpEvents {
        std::optional<Event> begin, end;
        bool recorded = false;                           // in this segment
    };

    void make_events();
    void issue(std::size_t index, const schedule::Op& op);
    void order(const schedule::Op& op);
    void execute(std::size_t index, const schedule::Op& op);
    void allocate(const schedule::Op& op);
    void release(const schedule::Op& op);
    void input(const schedule::Op& op);
    void initialize(const schedule::Op& op);
    void upload_values(const device::TensorView& view, std::int64_t at, std::int64_t count);
    void kernel(std::size_t index, const schedule::Op& op);
    void collective(const schedule::Op& op);
    void wait_on_host(const schedule::Op& op);
    void wait_for(Event event, std::size_t op);
    void inject(std::size_t index);
    void read_times(std::size_t begin, std::size_t end, trace::OpTime* rows);
    [[nodiscard]] static bool on_stream(const schedule::Op& op);

    const schedule::Schedule& schedule_;
    const schedule::Program& program_;
    std::int64_t rank_;
    StreamRankResources resources_;
    const ExecuteOptions& options_;
    StreamWatch& watch_;
    RankMemory memory_;
    StepScalars scalars_;
    std::vector<OpEvents> events_;                       // by op
    std::array<Event, 2> origins_{};                     // of the device's clock: the last segment's begin, and the next one's
    std::int64_t origin_nanoseconds_ = 0;                // the host's clock at the first of them
    int step_ = 0;
    trace::RankTrace trace_;
    std::vector<device::TensorView> views_;
    MicroBatch batch_;
    std::vector<float> values_;
    std::vector<std::uint16_t> halves_;
    StreamId reads_;                                     // the stream that scalars are read on
    std::int64_t step_nanoseconds_ = 0;
};

}  // namespace zerosim::exec
