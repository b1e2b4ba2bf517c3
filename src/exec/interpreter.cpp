#include "exec/interpreter.hpp"

#include "base/error.hpp"
#include "exec/numerics.hpp"
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

/// Rows of a trace kept in memory; steps beyond are run but not recorded.
constexpr std::size_t kMostTraceRows = 4'000'000;

}  // namespace

Interpreter::Interpreter(const schedule::Schedule& schedule, std::int64_t rank, RankResources resources, const ExecuteOptions& options, CommunicationThread& communication)
    : schedule_(schedule), program_(schedule.program_of(rank)), rank_(rank), resources_(resources), options_(options), communication_(communication),
      memory_(schedule, program_, rank) {
    trace_.rank = rank;
    find_scalars();
}

/// The scalars a step reports are operands of the kernels that make them.
void Interpreter::find_scalars() {
    for (const Op& op : program_.ops) {
        if (op.kind != OpKind::compute) continue;
        const auto operands = program_.operands_of(op);
        if (op.kernel == kernel::Kernel::cross_entropy_forward) loss_ = operands[3];
        if (op.kernel == kernel::Kernel::gradient_scale) {
            norm_ = operands[3];
            skip_ = operands[5];
        }
    }
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
    const bool record = options_.trace && trace_.times.size() + (end - begin) <= kMostTraceRows;
    // Rows never move while the communication thread may write to them: every segment ends with a host_wait.
    if (record) trace_.times.resize(trace_.times.size() + (end - begin));
    trace::OpTime* rows = record ? trace_.times.data() + (trace_.times.size() - (end - begin)) : nullptr;
    resources_.progress.step.store(step, std::memory_order_relaxed);
    const std::int64_t start = now_ = nanoseconds();
    for (std::size_t i = begin; i < end; ++i) {
        resources_.progress.op.store(static_cast<std::int64_t>(i), std::memory_order_relaxed);
        time_ = rows ? rows + (i - begin) : nullptr;
        if (time_) *time_ = {step, static_cast<std::uint32_t>(i), now_, now_, now_, -1};
        if (options_.fault) inject(i);
        execute(i, program_.ops[i]);
        if (time_) time_->live_bytes = resources_.device.handed_out_bytes();
    }
    step_nanoseconds_ = nanoseconds() - start;
}

void Interpreter::execute(std::size_t index, const Op& op) {
    const bool asynchronous = on_communication_stream(op);
    if (op.kind == OpKind::host_wait || !asynchronous) wait_for_deps(op);
    switch (op.kind) {
        case OpKind::alloc: allocate(op); break;
        case OpKind::free: release(op); break;
        case OpKind::fill:
        case OpKind::copy: copy(index, op); break;
        case OpKind::input: input(op); break;
        case OpKind::initialize: initialize(op); break;
        case OpKind::compute:
        case OpKind::optimizer: options_.synthetic_seconds.empty() ? kernel(index, op) : synthetic(index, op); break;
        case OpKind::collective: collective(index, op); break;
        case OpKind::host_wait:
        case OpKind::mark: break;
        case OpKind::host_compute:
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
        if (!has_communication(program_.op(dep))) continue;   // ran on this thread, so it is done
        communication_.wait(dep.index());
        waited = true;
    }
    if (waited && time_) time_->begin = now_ = nanoseconds();
    if (op.kind == OpKind::mark) communication_.check();
}

void Interpreter::allocate(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    const std::int64_t offset = options_.arena ? options_.arena->offsets[op.storage.index()] : -1;
    memory_.bind(op.storage, resources_.device.allocate(storage.pool, storage.bytes, offset));
}

void Interpreter::release(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    // Work on the pool's stream may still use it; its memory is reused by that stream alone, later in its order.
    resources_.device.release(storage.pool, memory_.base(op.storage), storage.bytes);
    memory_.bind(op.storage, nullptr);
}

void Interpreter::input(const Op& op) {
    const auto operands = program_.operands_of(op);
    const device::TensorView tokens = memory_.view(operands[0]), targets = memory_.view(operands[1]);
    tokens_.resize(static_cast<std::size_t>(tokens.elements()));
    targets_.resize(tokens_.size());
    // Rank r of N takes sequences [rB/N, (r+1)B/N), its micro-batches in order.
    const std::int64_t first = (rank_ * options_.gradient_accumulation + op.tags.micro_batch) * options_.micro_batch;
    resources_.tokens.fill_sequences(step_ - 1, first, options_.micro_batch, options_.step_shape, tokens_.data(), targets_.data());
    resources_.device.upload(tokens_.data(), tokens.data, tokens.elements() * 4);
    resources_.device.upload(targets_.data(), targets.data, targets.elements() * 4);
}

void Interpreter::initialize(const Op& op) {
    for (const TensorId operand : program_.operands_of(op))
        if (operand.valid()) fill_range(memory_.view(operand), op.range);
}

void Interpreter::fill_range(const device::TensorView& view, std::uint32_t range) {
    constexpr std::int64_t kChunk = 1 << 16;
    values_.resize(kChunk);
    resources_.device.fill(view, 0);   // padding
    const auto& layout = schedule_.layout(program_.ranges[range].layout);
    const std::int64_t start = memory_.range_start(range);
    for (const auto& segment : layout.segments) {
        const std::int64_t from = std::max(start, segment.offset), to = std::min(start + view.elements(), segment.offset + segment.count);
        for (std::int64_t at = from; at < to; at += kChunk) {
            const std::int64_t count = std::min(kChunk, to - at);
            const auto parameter = static_cast<std::size_t>(segment.parameter);
            data::initial_values(options_.initial.scheme, options_.seed, parameter, options_.initial.starts[parameter], at - segment.offset, count, values_.data());
            device::TensorView slice = view;
            slice.data = static_cast<std::byte*>(view.data) + (at - start) * size_of(view.dtype);
            slice.columns = slice.row_stride = count;
            resources_.device.copy({values_.data(), 1, count, count, DType::fp32}, slice, false);
        }
    }
}

void Interpreter::kernel(std::size_t index, const Op& op) {
    views_.clear();
    for (const TensorId operand : program_.operands_of(op)) views_.push_back(memory_.view(operand));
    static const std::vector<device::RangeSegment> none;
    device::KernelContext context;
    context.seed = options_.seed;
    context.step = step_;
    context.first_sample = (rank_ * options_.gradient_accumulation + std::max<std::int64_t>(op.tags.micro_batch, 0)) * options_.micro_batch;
    resources_.device.launch({op.kernel, program_.attributes_of(op), views_, op.range == ~0u ? none : memory_.segments(op.range), context});
    if (options_.check_numerics) check_outputs(schedule_, program_, memory_, OpId{index}, step_);
}

/// Takes the modelled time and touches the pages that the kernel would have written.
void Interpreter::synthetic(std::size_t index, const Op& op) {
    constexpr std::int64_t kPage = 4096;
    const std::int64_t until = nanoseconds() + static_cast<std::int64_t>(options_.synthetic_seconds[index] * 1e9);
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
        CommunicationTask task;
        task.op = index;
        task.is_fill = op.kind == OpKind::fill;
        task.value = op.value;
        task.accumulate = op.accumulate;
        task.destination = memory_.view(operands[task.is_fill ? 0 : 1]);
        if (!task.is_fill) task.source = memory_.view(operands[0]);
        return post(task, op);
    }
    if (op.kind == OpKind::fill) return resources_.device.fill(memory_.view(operands[0]), op.value);
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
        if (has_communication(program_.op(dep)) && program_.op(dep).stream != op.stream) communication_.wait(dep.index());
    task.stream = op.stream;
    task.time = time_;
    communication_.post(task);
}

void Interpreter::inject(std::size_t index) {
    const Fault& fault = *options_.fault;
    if (fault.rank != rank_ || fault.op != index) return;
    switch (fault.kind) {
        case FaultKind::fail: throw EnvironmentError("injected failure (--inject)");
        case FaultKind::exit:
            if (options_.leave) options_.leave();
            throw EnvironmentError("injected exit (--inject)");
        case FaultKind::slow: std::this_thread::sleep_for(std::chrono::milliseconds(kSlowMilliseconds)); return;
        case FaultKind::hang:
            for (;;) {   // until the watchdog ends the rank
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                communication_.check();
            }
    }
}

StepResult Interpreter::step_result(int step) const {
    StepResult result;
    result.step = step;
    result.seconds = static_cast<double>(step_nanoseconds_) * 1e-9;
    if (!options_.synthetic_seconds.empty()) return result;
    float skip = 0;
    if (loss_.valid()) resources_.device.download(memory_.view(loss_).data, &result.loss, sizeof(double));
    if (norm_.valid()) resources_.device.download(memory_.view(norm_).data, &result.gradient_norm, sizeof(double));
    if (skip_.valid()) resources_.device.download(memory_.view(skip_).data, &skip, sizeof(float));
    result.skipped = skip != 0;
    return result;
}

trace::RankTrace Interpreter::take_trace() { return std::move(trace_); }

}  // namespace zerosim::exec
