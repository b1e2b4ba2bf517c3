// Interpreter: one rank's host thread. Walks the program in issue order: allocates, launches kernels, posts collectives, waits.
// The compute stream of a host device runs on this thread itself, so a kernel costs no hand-over; communication streams run on the
// CommunicationThread. Made by execute_rank. Does not know strategies.
#pragma once

#include "exec/communication_thread.hpp"
#include "exec/execute.hpp"
#include "exec/micro_batch.hpp"
#include "exec/rank_memory.hpp"
#include "exec/step_observer.hpp"
#include "exec/step_scalars.hpp"

#include <vector>

namespace zerosim::exec {

class Interpreter {
public:
    Interpreter(const schedule::Schedule& schedule, std::int64_t rank, RankResources resources, const ExecuteOptions& options,
                CommunicationThread& communication);

    /// Runs one segment as step `step` (0 = init).
    void run(schedule::Segment segment, int step);
    [[nodiscard]] StepResult step_result(int step) const;
    [[nodiscard]] trace::RankTrace take_trace();
    [[nodiscard]] const RankMemory& memory() const { return memory_; }
    [[nodiscard]] std::int64_t device_peak_bytes() const { return device_peak_; }
    [[nodiscard]] std::int64_t device_bytes() const { return resources_.device.handed_out_bytes() - host_bytes_; }

private:
    void execute(std::size_t index, const schedule::Op& op);
    void wait_for_deps(const schedule::Op& op);
    void allocate(const schedule::Op& op);
    void release(const schedule::Op& op);
    void input(const schedule::Op& op);
    void upload(const std::vector<std::int32_t>& values, const device::TensorView& to);
    void initialize(const schedule::Op& op);
    void fill_range(const device::TensorView& view, std::uint32_t range);
    /// Elements [from, to) of a layout whose element `start` is the view's first; they may begin and end inside of rows.
    void fill_transposed(const device::TensorView& view, const schedule::FlatLayout::Segment& segment, std::int64_t from, std::int64_t to, std::int64_t start);
    void kernel(std::size_t index, const schedule::Op& op);
    void collect_ranges(const schedule::Op& op);
    void synthetic(std::size_t index, const schedule::Op& op);
    void copy(std::size_t index, const schedule::Op& op);
    void collective(std::size_t index, const schedule::Op& op);
    void post(CommunicationTask task, const schedule::Op& op);
    void inject(std::size_t index);
    void find_completions();
    /// Blocks until an earlier op is done. False if it was done when issued.
    bool wait_for(OpId op);
    void wait_for_other_streams(const schedule::Op& op);
    [[nodiscard]] bool on_communication_stream(const schedule::Op& op) const;
    [[nodiscard]] bool has_communication(const schedule::Op& op) const;

    const schedule::Schedule& schedule_;
    const schedule::Program& program_;
    std::int64_t rank_;
    RankResources resources_;
    const ExecuteOptions& options_;
    CommunicationThread& communication_;
    RankMemory memory_;
    StepScalars scalars_;
    int step_ = 0;
    std::int64_t now_ = 0;                       // last clock reading
    trace::OpTime* time_ = nullptr;              // row of the op being executed; null: no trace
    trace::RankTrace trace_;
    std::vector<device::TensorView> views_;
    MicroBatch batch_;
    std::vector<float> values_;
    std::vector<device::RangeSegment> segments_; // of a multi-tensor kernel's groups
    std::vector<std::uint32_t> segment_ends_;
    std::vector<std::size_t> last_posted_;       // by stream: op + 1
    std::vector<std::size_t> completes_with_;    // by op: op + 1 of the communication thread's that it is done with; 0 = done when issued
    StepObserver observer_;
    std::int64_t host_bytes_ = 0, device_peak_ = 0;   // handed out in host memory; most handed out in device memory
    std::int64_t step_nanoseconds_ = 0;
};

}  // namespace zerosim::exec
