#include "analysis/breakdown.hpp"

#include "analysis/intervals.hpp"
#include "analysis/waiting.hpp"

#include <algorithm>
#include <numeric>
#include <span>

namespace zerosim::analysis {
namespace {

struct BusyOp {
    OpId op;
    Interval time;
    std::size_t work_class = 0;
};

std::vector<BusyOp> busy_ops(const StepTimes& step) {
    std::vector<BusyOp> busy;
    for (const trace::OpTime& row : step.rows) {
        const schedule::Op& op = step.program->ops[row.op];
        const std::size_t kind = work_class(*step.program, op);
        if (kind == kWorkClasses || step.program->streams[op.stream.index()].kind != schedule::StreamKind::compute) continue;
        busy.push_back({OpId{row.op}, {row.begin, row.end}, kind});
    }
    std::ranges::stable_sort(busy, {}, [](const BusyOp& op) { return op.time.begin; });
    return busy;
}

void add_phase(Breakdown& result, schedule::Phase phase, std::int64_t length) {
    switch (phase) {
        case schedule::Phase::forward: result.forward += length; return;
        case schedule::Phase::backward: result.backward += length; return;
        case schedule::Phase::init:
        case schedule::Phase::optimizer: result.optimizer += length; return;
    }
}

/// Cuts the step where the phase of the compute stream's ops changes; what is before the first op belongs to its phase.
void cut_phases(Breakdown& result, const StepTimes& step, const std::vector<BusyOp>& busy) {
    std::int64_t cut = step.start;
    schedule::Phase phase = schedule::Phase::init;
    for (const BusyOp& op : busy) {
        const schedule::Phase own = step.program->op(op.op).tags.phase;
        if (own == schedule::Phase::init) continue;   // not part of a step's phases: belongs to the one around it
        if (phase != schedule::Phase::init && own != phase) {
            add_phase(result, phase, op.time.begin - cut);
            cut = op.time.begin;
        }
        phase = own;
    }
    if (phase != schedule::Phase::optimizer)   // an optimizer on the host leaves no op on the compute stream
        for (const trace::OpTime& row : step.rows) {
            const schedule::Op& op = step.program->ops[row.op];
            if (op.kind != schedule::OpKind::host_compute || op.tags.phase != schedule::Phase::optimizer || row.begin < cut) continue;
            add_phase(result, phase, row.begin - cut);
            cut = row.begin;
            phase = schedule::Phase::optimizer;
            break;
        }
    add_phase(result, phase, step.end - cut);
}

IdleTime sum_of(const StepTimes& step, std::span<const Wait> waits) {
    IdleTime idle;
    for (const Wait& wait : waits) {
        if (!wait.cause.valid()) idle.host += wait.length;
        else if (wait.late_peers) idle.late_peers += wait.length;
        else if (step.program->op(wait.cause).kind == schedule::OpKind::collective) idle.collectives += wait.length;
        else idle.other_streams += wait.length;
    }
    return idle;
}

schedule::Space space_of(const schedule::Program& program, TensorId id) {
    return id.valid() ? program.storage(program.tensor(id).storage).space : schedule::Space::device;
}

std::size_t copy_class(const schedule::Program& program, const schedule::Op& op) {
    const auto operands = program.operands_of(op);
    std::size_t kind = kCopyClass;
    for (std::size_t i = 0; i + 1 < operands.size(); i += 2) {
        const schedule::Space from = space_of(program, operands[i]), to = space_of(program, operands[i + 1]);
        if (from == schedule::Space::nvme || to == schedule::Space::nvme) return kDriveClass;
        if (from != schedule::Space::device || to != schedule::Space::device) return kTransferClass;
        if (operands[i].valid() && operands[i + 1].valid() && program.tensor(operands[i]).dtype != program.tensor(operands[i + 1]).dtype) kind = kCastClass;
    }
    return kind;
}

}  // namespace

std::string_view work_class_name(std::size_t work_class) {
    switch (work_class) {
        case kCastClass: return "casts";
        case kCopyClass: return "copies";
        case kFillClass: return "fills";
        case kTransferClass: return "transfers";
        case kDriveClass: return "NVMe transfers";
        case kHostComputeClass: return "host compute";
        default: return kernel::name(static_cast<kernel::KernelClass>(work_class));
    }
}

std::size_t work_class(const schedule::Program& program, const schedule::Op& op) {
    using enum schedule::OpKind;
    switch (op.kind) {
        case compute:
        case optimizer: return static_cast<std::size_t>(kernel::kernel_class(op.kernel));
        case copy: return copy_class(program, op);
        case fill:
        case initialize: return kFillClass;
        case input: return kTransferClass;
        case host_compute: return kHostComputeClass;
        default: return kWorkClasses;
    }
}

std::int64_t Breakdown::compute() const { return std::accumulate(busy.begin(), busy.end(), std::int64_t{0}); }

Breakdown breakdown(const StepTimes& step) {
    Breakdown result;
    result.step = step.length();
    const std::vector<BusyOp> busy = busy_ops(step);
    WaitFinder waits(step);
    std::int64_t covered = step.start;
    for (const BusyOp& op : busy) {
        if (op.time.begin > covered) waits.split({covered, op.time.begin}, op.op, result.waits);
        result.busy[op.work_class] += std::max<std::int64_t>(0, op.time.end - std::max(covered, op.time.begin));
        covered = std::max(covered, op.time.end);
    }
    if (step.end > covered) waits.split({covered, step.end}, OpId{}, result.waits);
    result.idle = sum_of(step, result.waits);
    cut_phases(result, step, busy);
    std::vector<Interval> collectives;
    for (const trace::OpTime& row : step.rows)
        if (step.program->ops[row.op].kind == schedule::OpKind::collective) collectives.push_back({row.begin, row.end});
    result.communication = union_length(std::move(collectives));
    return result;
}

}  // namespace zerosim::analysis
