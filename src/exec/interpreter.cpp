#include "exec/interpreter.hpp"

#include "base/error.hpp"
#include "exec/numerics.hpp"
#include "exec/runnable.hpp"
#include "exec/step_loop.hpp"
#include "schedule/access.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace zerosim::exec {

using schedule::Op;
using schedule::OpKind;

namespace {

std::int64_t nanoseconds() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Interpreter::Interpreter(const schedule::Schedule& schedule, std::int64_t rank, RankResources resources, const ExecuteOptions& options, CommunicationThread& communication)
    : schedule_(schedule), program_(schedule.program_of(rank)), rank_(rank), resources_(resources), options_(options), communication_(communication),
      memory_(schedule, program_, rank), scalars_(program_), last_posted_(program_.streams.size(), 0), observer_(schedule, program_, rank) {
    trace_.rank = rank;
    find_completions();
}

/// A stream is first in, first out: an alloc or free on a communication stream is done when what was posted to the stream before it is.
void Interpreter::find_completions() {
    std::vector<std::size_t> posted(program_.streams.size(), 0);
    completes_with_.reserve(program_.ops.size());
    for (std::size_t i = 0; i < program_.ops.size(); ++i) {
        const Op& op = program_.ops[i];
        if (has_communication(op)) posted[op.stream.index()] = i + 1;
        completes_with_.push_back(posted[op.stream.index()]);
    }
}

bool Interpreter::wait_for(OpId op) {
    const std::size_t with = completes_with_[op.index()];
    if (with == 0) return false;
    communication_.wait(with - 1);
    return true;
}

bool Interpreter::on_communication_stream(const Op& op) const {
    return program_.streams[op.stream.index()].kind == schedule::StreamKind::communication;
}

/// Ops whose completion the communication thread signals.
bool Interpreter::has_communication(const Op& op) const {
    return op.kind == OpKind::collective || (on_communication_stream(op) && (op.kind == OpKind::copy || op.kind == OpKind::fill));
}

void Interpreter::run(schedule::Segment segment, int step) {
    const auto [begin, end] = program_.bounds(segment);
    step_ = step;
    // Rows never move while the communication thread may write to them: every segment ends with a host_wait.
    trace::OpTime* const rows = options_.trace ? append_rows(trace_, end - begin) : nullptr;
    resources_.progress.step.store(step, std::memory_order_relaxed);
    const std::int64_t start = now_ = nanoseconds();
    for (std::size_t i = begin; i < end; ++i) {
        resources_.progress.op.store(static_cast<std::int64_t>(i), std::memory_order_relaxed);
        time_ = rows ? rows + (i - begin) : nullptr;
        if (time_) *time_ = {step, static_cast<std::uint32_t>(i), now_, now_, now_, -1};
        if (options_.fault) inject(i);
        execute(i, program_.ops[i]);
        const std::int64_t live = resources_.device.handed_out_bytes() - host_bytes_;
        device_peak_ = std::max(device_peak_, live);
        if (time_) time_->live_bytes = live;
    }
    step_nanoseconds_ = nanoseconds() - start;
}

void Interpreter::execute(std::size_t index, const Op& op) {
    const bool computes = op.kind == OpKind::compute || op.kind == OpKind::optimizer || op.kind == OpKind::host_compute;
    const bool asynchronous = on_communication_stream(op) && !computes;
    if (op.kind == OpKind::host_wait || op.recorded || !asynchronous) wait_for_deps(op);
    else if (!has_communication(op)) wait_for_other_streams(op);
    // A kernel on a communication stream runs here, after what was posted to that stream.
    if (computes && on_communication_stream(op) && last_posted_[op.stream.index()] > 0) communication_.wait(last_posted_[op.stream.index()] - 1);
    switch (op.kind) {
        case OpKind::alloc: allocate(op); break;
        case OpKind::free: release(op); break;
        case OpKind::fill:
        case OpKind::copy: copy(index, op); break;
        case OpKind::input: input(op); break;
        case OpKind::initialize: initialize(op); break;
        case OpKind::compute:
        case OpKind::optimizer:
        case OpKind::host_compute: options_.synthetic_seconds.empty() ? kernel(index, op) : synthetic(index, op); break;
        case OpKind::collective: collective(index, op); break;
        case OpKind::host_wait:
        case OpKind::mark: break;
        case OpKind::count_: throw BugError(fmt::format("the executor has no {} yet", schedule::name(op.kind)));
    }
    const bool timed = op.kind != OpKind::alloc && op.kind != OpKind::free && !asynchronous;
    if (timed && time_) {
        now_ = nanoseconds();
        if (!has_communication(op)) time_->end = now_;
    }
}

void Interpreter::wait_for_deps(const Op& op) {
    bool waited = false;
    for (const OpId dep : program_.deps_of(op)) {
        waited = wait_for(dep) || waited;
    }
    if (waited && time_) time_->begin = now_ = nanoseconds();
    if (op.kind == OpKind::mark) communication_.check();
}

/// Of an op that the communication thread does not see: its stream's later tasks rely on what it waits for.
void Interpreter::wait_for_other_streams(const Op& op) {
    for (const OpId dep : program_.deps_of(op))
        if (program_.op(dep).stream != op.stream) wait_for(dep);
}

void Interpreter::allocate(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    const std::int64_t offset = options_.arena ? options_.arena->offsets[op.storage.index()] : -1;
    memory_.bind(op.storage, resources_.device.allocate(storage.pool, storage.bytes, offset));
    if (storage.space != schedule::Space::device) host_bytes_ += storage.bytes;
}

void Interpreter::release(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    // Work on the pool's stream may still use it; its memory is reused by that stream alone, later in its order.
    resources_.device.release(storage.pool, memory_.base(op.storage), storage.bytes);
    memory_.bind(op.storage, nullptr);
    if (storage.space != schedule::Space::device) host_bytes_ -= storage.bytes;
}

void Interpreter::kernel(std::size_t index, const Op& op) {
    views_.clear();
    for (const TensorId operand : program_.operands_of(op)) views_.push_back(memory_.view(operand));
    static const std::vector<device::RangeSegment> none;
    const device::KernelContext context = kernel_context(options_, rank_, step_, op);
    if (observer_.before(op, step_, views_) && time_) time_->begin = now_ = nanoseconds();   // looking is not the kernel's time
    if (kernel::is_multi_tensor(op.kernel)) {
        collect_ranges(op);
        resources_.device.launch({op.kernel, program_.attributes_of(op), views_, segments_, context, segment_ends_});
    } else {
        resources_.device.launch({op.kernel, program_.attributes_of(op), views_, op.range == ~0u ? none : memory_.segments(op.range), context});
    }
    observer_.after(op, step_, views_);
    if (options_.check_numerics) check_outputs(schedule_, program_, memory_, OpId{index}, step_);
}

/// Group i of a multi-tensor kernel works on range i of the op's.
void Interpreter::collect_ranges(const Op& op) {
    segments_.clear();
    segment_ends_.clear();
    if (op.range == ~0u) return;
    const std::size_t groups = op.operands_count / kernel::operands(op.kernel).size();
    for (std::size_t i = 0; i < groups; ++i) {
        const auto& parts = memory_.segments(op.range + static_cast<std::uint32_t>(i));
        segments_.insert(segments_.end(), parts.begin(), parts.end());
        segment_ends_.push_back(static_cast<std::uint32_t>(segments_.size()));
    }
}

/// Takes the modelled time and touches the pages that the kernel would have written.
void Interpreter::synthetic(std::size_t index, const Op& op) {
    constexpr std::int64_t kPage = 4096;
    const std::int64_t until = nanoseconds() + static_cast<std::int64_t>(options_.synthetic_seconds[first_op(schedule_, program_) + index] * 1e9);
    std::vector<schedule::OperandAccess> accesses;
    schedule::accesses(program_, op, accesses);
    for (const auto& access : accesses) {
        if (!access.writes) continue;
        const device::TensorView view = memory_.view(access.tensor);
        auto* bytes = static_cast<volatile std::byte*>(view.data);
        for (std::int64_t at = 0; at < program_.tensor(access.tensor).extent_bytes(); at += kPage) bytes[at] = bytes[at];
    }
    const std::int64_t left = until - nanoseconds();
    if (left > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(left));
}

void Interpreter::copy(std::size_t index, const Op& op) {
    const auto operands = program_.operands_of(op);
    if (on_communication_stream(op)) {
        const bool fills = op.kind == OpKind::fill;
        for (std::size_t i = 0; i < operands.size(); i += fills ? 1 : 2) {
            CommunicationTask task;
            task.op = index;
            task.is_fill = fills;
            if (fills) task.value = program_.value_of(op);
            task.accumulate = op.accumulate;
            task.destination = memory_.view(operands[fills ? i : i + 1]);
            if (!fills) task.source = memory_.view(operands[i]);
            post(task, op);
        }
        return;
    }
    if (op.kind == OpKind::fill) {
        for (const TensorId destination : operands) resources_.device.fill(memory_.view(destination), program_.value_of(op));
        return;
    }
    for (std::size_t i = 0; i + 1 < operands.size(); i += 2) resources_.device.copy(memory_.view(operands[i]), memory_.view(operands[i + 1]), op.accumulate);
}

void Interpreter::collective(std::size_t index, const Op& op) {
    const schedule::Collective& c = program_.collective_of(op);
    const device::TensorView send = memory_.view(c.send), receive = memory_.view(c.receive), scratch = memory_.view(c.scratch);
    CommunicationTask task;
    task.op = index;
    task.communicator = resources_.communicators.get(op.stream, c.axis);
    check(task.communicator != nullptr, "no communicator for this stream and axis");
    task.call = {c.kind, c.reduction, send.dtype, c.kind == CollectiveKind::reduce_scatter ? receive.elements() : send.elements(), c.root, send.data, receive.data, scratch.data};
    resources_.progress.collectives.fetch_add(1, std::memory_order_relaxed);
    post(task, op);
    if (!on_communication_stream(op)) communication_.wait(index);
}

void Interpreter::post(CommunicationTask task, const Op& op) {
    // Deps on this thread's own work are done; those on other communication streams are waited for here, which keeps the tasks simple
    // and costs nothing where a planner orders streams through the compute stream.
    for (const OpId dep : program_.deps_of(op))
        if (program_.op(dep).stream != op.stream) wait_for(dep);
    task.stream = op.stream;
    task.time = time_;
    last_posted_[op.stream.index()] = task.op + 1;
    communication_.post(task);
}

void Interpreter::inject(std::size_t index) {
    if (const Fault& fault = *options_.fault; fault.rank == rank_ && fault.op == index) act(fault, options_.leave, [this] { communication_.check(); });
}

StepResult Interpreter::step_result(int step) const {
    StepResult result;
    result.step = step;
    result.seconds = static_cast<double>(step_nanoseconds_) * 1e-9;
    if (!options_.synthetic_seconds.empty()) return result;
    if (observer_.active()) return observer_.result(result);
    scalars_.read(resources_.device, memory_, result);
    return result;
}

trace::RankTrace Interpreter::take_trace() { return std::move(trace_); }

}  // namespace zerosim::exec
