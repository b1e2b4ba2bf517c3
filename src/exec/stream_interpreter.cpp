#include "exec/stream_interpreter.hpp"

#include "base/error.hpp"
#include "exec/runnable.hpp"
#include "exec/step_loop.hpp"
#include "exec/stream_watch.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace zerosim::exec {

using schedule::Op;
using schedule::OpKind;

namespace {

using Clock = std::chrono::steady_clock;
std::int64_t nanoseconds() { return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count(); }

/// Between two looks at what the watch has to say while the host waits.
constexpr auto kWatch = std::chrono::milliseconds(5);

}  // namespace

StreamInterpreter::StreamInterpreter(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options, StreamWatch& watch)
    : schedule_(schedule), program_(schedule.program_of(rank)), rank_(rank), resources_(resources), options_(options), watch_(watch), memory_(schedule, program_, rank), scalars_(program_), events_(program_.ops.size()) {
    trace_.rank = rank;
    make_events();
    for (Event& origin : origins_) origin = resources_.device.make_event(true);
    resources_.device.use(reads_);
    resources_.device.record(origins_[0]);
    while (!resources_.device.done(origins_[0])) {}
    origin_nanoseconds_ = nanoseconds();
}

bool StreamInterpreter::on_stream(const Op& op) {
    switch (op.kind) {
        case OpKind::alloc:
        case OpKind::free:
        case OpKind::host_wait:
        case OpKind::mark: return false;
        default: return true;
    }
}

/// An op has an end event when another stream or the host waits for it, and both when it is traced. An allocation, a release or a mark has one only when it
/// is waited for: it is done when its stream gets there, which is when the memory of a pool is free of its former use.
void StreamInterpreter::make_events() {
    std::vector<std::uint8_t> awaited(program_.ops.size(), 0);
    for (const Op& op : program_.ops) {
        if (op.kind == OpKind::compute) reads_ = op.stream;
        for (const OpId dep : program_.deps_of(op))
            if (op.kind == OpKind::host_wait || op.kind == OpKind::free || program_.op(dep).stream != op.stream) awaited[dep.index()] = 1;
    }
    for (std::size_t i = 0; i < program_.ops.size(); ++i) {
        const Op& op = program_.ops[i];
        const bool traced = options_.trace && on_stream(op);
        if (traced) events_[i].begin = resources_.device.make_event(true);
        if (traced || (awaited[i] != 0 && op.kind != OpKind::host_wait)) events_[i].end = resources_.device.make_event(traced);
    }
}

void StreamInterpreter::run(schedule::Segment segment, int step) {
    const auto [begin, end] = program_.bounds(segment);
    step_ = step;
    trace::OpTime* const rows = options_.trace ? append_rows(trace_, end - begin) : nullptr;
    resources_.progress.step.store(step, std::memory_order_relaxed);
    for (std::size_t i = begin; i < end; ++i) events_[i].recorded = false;
    resources_.device.use(reads_);
    if (rows != nullptr) resources_.device.record(origins_[1]);
    const std::int64_t start = nanoseconds();
    for (std::size_t i = begin; i < end; ++i) {
        resources_.progress.op.store(static_cast<std::int64_t>(i), std::memory_order_relaxed);
        if (rows != nullptr) {
            const std::int64_t now = nanoseconds();
            rows[i - begin] = {step, static_cast<std::uint32_t>(i), now, now, now, -1};
        }
        if (options_.fault) inject(i);
        issue(i, program_.ops[i]);
        if (rows != nullptr) rows[i - begin].live_bytes = resources_.device.handed_out_bytes();
    }
    step_nanoseconds_ = nanoseconds() - start;
    if (rows != nullptr) read_times(begin, end, rows);
    if (device::DriverLedger* const ledger = resources_.device.driver_ledger()) {
        if (step == std::min(2, options_.steps)) ledger->settle();
        if (step == options_.steps) ledger->finish();
    }
}

void StreamInterpreter::issue(std::size_t index, const Op& op) {
    device::StreamDevice& device = resources_.device;
    if (op.kind == OpKind::host_wait) return wait_on_host(op);
    order(op);
    OpEvents& events = events_[index];
    if (events.begin) device.record(*events.begin);
    if (on_stream(op)) {
        device.begin_range(schedule_.names[op.name]);
        execute(index, op);
        device.end_range();
    } else {
        execute(index, op);
    }
    if (events.end) device.record(*events.end);
    events.recorded = true;
}

/// Chooses the op's stream (a free's: the pool's owner) and lets it wait for the deps on others.
void StreamInterpreter::order(const Op& op) {
    const bool frees = op.kind == OpKind::free;
    const StreamId stream = frees ? program_.pools[program_.storage(op.storage).pool.index()].owner : op.stream;
    resources_.device.use(stream);
    for (const OpId dep : program_.deps_of(op)) {
        const OpEvents& events = events_[dep.index()];
        if (events.end && events.recorded && (frees || program_.op(dep).stream != stream)) resources_.device.wait(*events.end);
    }
}

void StreamInterpreter::execute(std::size_t index, const Op& op) {
    const auto operands = program_.operands_of(op);
    device::StreamDevice& device = resources_.device;
    switch (op.kind) {
        case OpKind::alloc: return allocate(op);
        case OpKind::free: return release(op);
        case OpKind::fill:
            for (const TensorId destination : operands) device.fill(memory_.view(destination), program_.value_of(op));
            return;
        case OpKind::copy:
            for (std::size_t i = 0; i + 1 < operands.size(); i += 2) device.copy(memory_.view(operands[i]), memory_.view(operands[i + 1]), op.accumulate);
            return;
        case OpKind::input: return input(op);
        case OpKind::initialize: return initialize(op);
        case OpKind::compute:
        case OpKind::optimizer: return kernel(index, op);
        case OpKind::collective: return collective(op);
        case OpKind::mark:
        case OpKind::host_wait: return;
        case OpKind::host_compute:
        case OpKind::count_: break;
    }
    throw BugError(fmt::format("the executor on streams has no {}", schedule::name(op.kind)));
}

void StreamInterpreter::allocate(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    const std::int64_t offset = options_.arena ? options_.arena->offsets[op.storage.index()] : -1;
    memory_.bind(op.storage, resources_.device.allocate(storage.pool, storage.bytes, offset));
}

void StreamInterpreter::release(const Op& op) {
    const schedule::Storage& storage = program_.storage(op.storage);
    resources_.device.release(storage.pool, memory_.base(op.storage), storage.bytes);
    memory_.bind(op.storage, nullptr);
}

void StreamInterpreter::input(const Op& op) {
    const auto operands = program_.operands_of(op);
    const device::TensorView tokens = memory_.view(operands[0]), targets = memory_.view(operands[1]);
    batch_.read(resources_.tokens, options_, rank_, step_, op.tags.micro_batch, tokens.elements());
    resources_.device.upload(batch_.tokens.data(), tokens.data, tokens.elements() * 4);
    resources_.device.upload(batch_.targets.data(), targets.data, targets.elements() * 4);
}

void StreamInterpreter::initialize(const Op& op) {
    constexpr std::int64_t kChunk = 1 << 20;
    values_.resize(kChunk);
    const auto& layout = schedule_.layout(program_.ranges[op.range].layout);
    const std::int64_t start = memory_.range_start(op.range);
    for (const TensorId operand : program_.operands_of(op)) {
        if (!operand.valid()) continue;
        const device::TensorView view = memory_.view(operand);
        resources_.device.fill(view, 0);                 // padding
        for (const auto& segment : layout.segments) {
            check(segment.transposed_rows == 0, "transposed parameters are not initialized on streams");
            const std::int64_t from = std::max(start, segment.offset), to = std::min(start + view.elements(), segment.offset + segment.count);
            for (std::int64_t at = from; at < to; at += kChunk) {
                const std::int64_t count = std::min(kChunk, to - at);
                const auto parameter = static_cast<std::size_t>(segment.parameter);
                data::initial_values(options_.initial.scheme, options_.seed, parameter, options_.initial.starts[parameter], at - segment.offset, count, values_.data());
                upload_values(view, at - start, count);
            }
        }
    }
}

/// Rounded on the host: the same bits as the host's executor starts from.
void StreamInterpreter::upload_values(const device::TensorView& view, std::int64_t at, std::int64_t count) {
    std::byte* const destination = static_cast<std::byte*>(view.data) + at * size_of(view.dtype);
    if (view.dtype == DType::fp32) return resources_.device.upload(values_.data(), destination, count * 4);
    halves_.resize(static_cast<std::size_t>(count));
    const auto round = view.dtype == DType::bf16 ? float_to_bf16 : float_to_fp16;
    std::transform(values_.begin(), values_.begin() + count, halves_.begin(), round);
    resources_.device.upload(halves_.data(), destination, count * 2);
}

void StreamInterpreter::kernel(std::size_t index, const Op& op) {
    if (!options_.synthetic_seconds.empty()) return resources_.device.hold(options_.synthetic_seconds[first_op(schedule_, program_) + index]);
    views_.clear();
    for (const TensorId operand : program_.operands_of(op)) views_.push_back(memory_.view(operand));
    static const std::vector<device::RangeSegment> none;
    const device::KernelContext context = kernel_context(options_, rank_, step_, op);
    resources_.device.launch({op.kernel, program_.attributes_of(op), views_, op.range == ~0u ? none : memory_.segments(op.range), context, {}});
}

void StreamInterpreter::collective(const Op& op) {
    const schedule::Collective& c = program_.collective_of(op);
    const device::TensorView send = memory_.view(c.send), receive = memory_.view(c.receive);
    comm::StreamCommunicator* communicator = resources_.communicators.get(op.stream, c.axis);
    check(communicator != nullptr, "no communicator for this stream and axis");
    resources_.progress.collectives.fetch_add(1, std::memory_order_relaxed);
    const comm::CollectiveCall call{c.kind, c.reduction, send.dtype, c.kind == CollectiveKind::reduce_scatter ? receive.elements() : send.elements(), c.root, send.data, receive.data, nullptr};
    const auto enqueue = [&] { communicator->enqueue(call, resources_.device.native_stream()); };
    device::DriverLedger* const ledger = resources_.device.driver_ledger();
    // NCCL connects at the first collective of each algorithm (2.22 and later). Step 2 is timed: what is new there is counted as `other`.
    if (ledger != nullptr && step_ <= 1) ledger->during(device::DriverPart::communicators, enqueue);
    else enqueue();
}

void StreamInterpreter::wait_on_host(const Op& op) {
    for (const OpId dep : program_.deps_of(op)) {
        const OpEvents& events = events_[dep.index()];
        if (events.end && events.recorded) wait_for(*events.end, dep.index());
    }
}

/// Spins at first (a step's end is near), then looks at what the watch says between short sleeps.
void StreamInterpreter::wait_for(Event event, std::size_t op) {
    Clock::time_point next = Clock::now() + kWatch;
    watch_.host_waits_for(static_cast<std::int64_t>(op));
    while (!resources_.device.done(event)) {
        const Clock::time_point now = Clock::now();
        if (now < next) continue;
        next = now + kWatch;
        watch_.check();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    watch_.host_waits_for(-1);
}

void StreamInterpreter::inject(std::size_t index) {
    if (const Fault& fault = *options_.fault; fault.rank == rank_ && fault.op == index) act(fault, options_.leave, [this] { watch_.check(); });
}

/// The device's clock in the host's nanoseconds, counted from the segment's begin: CUDA gives differences as floats of milliseconds, and a float of
/// minutes knows no microseconds.
void StreamInterpreter::read_times(std::size_t begin, std::size_t end, trace::OpTime* rows) {
    const auto after = [this](Event origin, Event event) { return static_cast<std::int64_t>(resources_.device.seconds_between(origin, event) * 1e9); };
    wait_for(origins_[1], begin);                        // a segment need not end with a wait for all its streams
    origin_nanoseconds_ += after(origins_[0], origins_[1]);
    std::swap(origins_[0], origins_[1]);
    const auto at = [&](Event event) { return origin_nanoseconds_ + after(origins_[0], event); };
    for (std::size_t i = begin; i < end; ++i) {
        const OpEvents& events = events_[i];
        if (!events.recorded || !events.begin || !events.end) continue;
        wait_for(*events.end, i);
        rows[i - begin].begin = at(*events.begin);
        rows[i - begin].end = at(*events.end);
    }
}

StepResult StreamInterpreter::step_result(int step) {
    StepResult result;
    result.step = step;
    result.seconds = static_cast<double>(step_nanoseconds_) * 1e-9;
    if (!options_.synthetic_seconds.empty()) return result;
    resources_.device.use(reads_);
    scalars_.read(resources_.device, memory_, result);
    return result;
}

}  // namespace zerosim::exec
