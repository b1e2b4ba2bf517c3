#include "analysis/memory_report.hpp"

#include "base/error.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <cstdlib>

namespace zerosim::analysis {
namespace {

void settle(MemoryReport& report) {
    report.peak_allocated = std::max({report.forward_peak, report.backward_peak, report.optimizer_peak});
    report.peak_reserved = std::max({report.peak_reserved, report.peak_allocated, report.init_peak, report.first_step_peak});
    const bool refused = report.allocator && report.allocator->out_of_memory;
    report.fits = !refused && report.peak_reserved + report.context + report.communicator <= report.device_total;
}

}  // namespace

MemoryReport memory_report(const schedule::Schedule& schedule, std::int64_t rank, const cluster::Cluster& cluster,
                           const MemoryFacts& facts) {
    const schedule::MemoryProfile profile = schedule::memory_profile(schedule, rank);
    MemoryReport report;
    report.peak_reserved = facts.reserved_bytes;
    report.init_peak = profile.init_peak;
    report.first_step_peak = profile.first_step_peak;
    report.after_init = profile.after_init;
    report.after_step = profile.after_step;
    report.forward_peak = profile.forward_peak;
    report.backward_peak = profile.backward_peak;
    report.optimizer_peak = profile.optimizer_peak;
    if (facts.allocator) {
        report.init_peak = facts.allocator->init_peak;
        report.first_step_peak = facts.allocator->first_step_peak;
        report.after_init = facts.allocator->after_init;
        report.after_step = facts.allocator->after_step;
        report.forward_peak = facts.allocator->forward_peak;
        report.backward_peak = facts.allocator->backward_peak;
        report.optimizer_peak = facts.allocator->optimizer_peak;
        report.allocator = facts.allocator->report;
    }
    report.at_peak_by_role = profile.at_peak;
    report.after_step_by_role = profile.after_step_by_role;
    report.device_total = cluster.device.memory_bytes;
    report.context = cluster.device.context_bytes;
    report.communicator = facts.communicator_bytes;
    report.host_peak = facts.host_peak_bytes;
    report.host_pinned = facts.host_pinned_bytes;
    settle(report);
    return report;
}

HandedOut handed_out(const schedule::Schedule& schedule, const trace::RankTrace& rank) {
    using schedule::Segment;
    const schedule::Program& program = schedule.program_of(rank.rank);
    const auto predicted_of = [&](Segment segment, std::int64_t before) {
        const auto [begin, end] = program.bounds(segment);
        return schedule::live_bytes(program, begin, end, before);
    };
    // One prediction per op in program order: init, first, steady follow one another, and every steady step is alike.
    std::vector<std::int64_t> predicted = predicted_of(Segment::init, 0);
    for (const Segment segment : {Segment::first, Segment::steady}) {
        const auto part = predicted_of(segment, predicted.empty() ? 0 : predicted.back());
        predicted.insert(predicted.end(), part.begin(), part.end());
    }
    HandedOut result;
    const std::int32_t last = rank.times.empty() ? 0 : rank.times.back().step;
    for (const trace::OpTime& row : rank.times) {
        if (row.live_bytes < 0) continue;
        ++result.compared_ops;
        result.largest_difference = std::max(result.largest_difference, std::abs(row.live_bytes - predicted.at(row.op)));
        const auto raise = [&](std::int64_t& peak) { peak = std::max(peak, row.live_bytes); };
        if (row.step == 0) {
            result.after_init = row.live_bytes;
            raise(result.init_peak);
        }
        if (row.step == 1) raise(result.first_step_peak);
        if (row.step != last || last == 0) continue;
        result.after_step = row.live_bytes;
        raise(result.peak);
        const schedule::Phase phase = program.ops[row.op].tags.phase;
        if (phase == schedule::Phase::forward) raise(result.forward_peak);
        if (phase == schedule::Phase::backward) raise(result.backward_peak);
        if (phase == schedule::Phase::optimizer) raise(result.optimizer_peak);
    }
    return result;
}

void use_handed_out(MemoryReport& report, const HandedOut& measured) {
    check(measured.compared_ops > 0, "no handed-out bytes in the trace");
    report.init_peak = measured.init_peak;
    report.first_step_peak = measured.first_step_peak;
    report.after_init = measured.after_init;
    report.after_step = measured.after_step;
    report.forward_peak = measured.forward_peak;
    report.backward_peak = measured.backward_peak;
    report.optimizer_peak = measured.optimizer_peak;
    settle(report);
}

void use_driver(MemoryReport& report, DriverReport driver, std::int64_t total) {
    driver.predicted_context = report.context;
    driver.predicted_communicator = report.communicator;
    report.context = driver.context + driver.libraries + driver.other;
    report.communicator = driver.communicators;
    if (total > 0) report.device_total = total;
    report.driver = driver;
    settle(report);
}

}  // namespace zerosim::analysis
