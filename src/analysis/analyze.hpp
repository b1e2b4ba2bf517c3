// From a schedule and a trace of it to a RunReport. Pure: the same for a real and a simulated trace.
// Called by cli/ on rank 0 with all ranks' traces, clocks aligned.
// Does not print, does not simulate, and knows no scenario beyond the facts it is handed.
#pragma once

#include "analysis/memory_report.hpp"
#include "analysis/run_report.hpp"
#include "cluster/cluster.hpp"
#include "cluster/residuals.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <map>

namespace zerosim::analysis {

/// What schedule, trace and cluster do not say.
struct Facts {
    std::vector<std::pair<std::string, std::string>> scenario;   // every key and its value
    std::int64_t parameters = 0, trainable_parameters = 0;
    double flops_per_token = 0;                                  // model::flops_per_token
    std::int64_t tokens_per_step_per_rank = 0;                   // micro-batch * sequence * accumulation
    double peak_flops = 0;                                       // of one device, in the dtype of the linear layers' products
    double peak_16_bit_flops = 0;                                // where that dtype has 8 bits, else 0
    std::string peak_dtype;
    double untraced_step_seconds = 0;                            // the median step of a run whose trace was turned off
    MemoryFacts memory;                                          // of rank 0, and of every rank that is not in rank_memory
    std::map<std::int64_t, MemoryFacts> rank_memory;             // by the first rank of a role
    [[nodiscard]] const MemoryFacts& memory_of(std::int64_t rank) const {
        const auto found = rank_memory.find(rank);
        return found == rank_memory.end() ? memory : found->second;
    }
    std::optional<cluster::Residuals> residuals;                 // of a simulation: for the interval around its step
    std::optional<ZeroFormula> formula;
    std::optional<TrainingReport> training;                      // only `run`
};

/// The report of a run also says how the bytes handed out compare with the schedule's (RunReport::prediction, without times).
[[nodiscard]] RunReport analyze(const schedule::Schedule& schedule, const trace::Trace& trace, const cluster::Cluster& cluster,
                                const Facts& facts);
/// The `time` of that report alone: the slowest rank's medians.
[[nodiscard]] TimeReport slowest_time(const schedule::Schedule& schedule, const trace::Trace& trace);
/// Adds the predicted step and the gap's split to the report of a measured run. Both traces hold at least one step.
void add_prediction(RunReport& report, const schedule::Schedule& schedule, const trace::Trace& predicted, const trace::Trace& measured);

}  // namespace zerosim::analysis
