// RunReport: everything a report shows, as data: memory, time, communication, throughput, training, prediction beside measurement.
// Filled by analyze() and compare_with_prediction(), or read back from JSON; rendered by report/. Fields: docs/metrics.md.
// Holds SI base units only; knows no layout and no file format.
#pragma once

#include "analysis/allocator_report.hpp"
#include "analysis/device_report.hpp"
#include "analysis/explanation.hpp"
#include "analysis/inference_report.hpp"
#include "analysis/job_report.hpp"
#include "analysis/links_report.hpp"
#include "analysis/step_report.hpp"
#include "analysis/zero_formulas.hpp"
#include "schedule/memory.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zerosim::analysis {

/// Bytes of one rank. A run: what the device handed out; a simulation: what the schedule allocates. By role: the schedule's.
struct MemoryReport {
    std::int64_t peak_allocated = 0, peak_reserved = 0, init_peak = 0, first_step_peak = 0;
    std::int64_t after_init = 0, after_step = 0;
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;
    schedule::RoleBytes at_peak_by_role{}, after_step_by_role{};
    std::int64_t device_total = 0, context = 0, communicator = 0;
    bool fits = true;
    std::int64_t host_peak = 0, host_pinned = 0;
    std::optional<AllocatorReport> allocator;                    // systems whose memory PyTorch manages
    std::optional<DriverReport> driver;                          // a run on a GPU: context and communicator are then measured too
};

/// Seconds of one step of one rank: medians over the steps after the first.
struct TimeReport {
    double step = 0, forward = 0, backward = 0, optimizer = 0;
    double compute = 0, communication = 0, exposed_communication = 0;
};

/// One row: the collectives of one kind, axis and phase in one step of one rank.
struct CollectiveReport {
    std::string kind;              // "all-gather"; loss and norm: "scalar-all-reduce"
    std::string axis, phase;
    std::int64_t ranks = 1;        // of the group
    std::int64_t count = 0;
    std::int64_t message_bytes = 0;
    double sent_bytes = 0;
    double seconds = 0;            // from the last member's begin to the end here
    double algbw = 0, busbw = 0;   // bytes per second, as nccl-tests defines them
    double exposed = 0;            // of `seconds`: the compute stream waited for them; the rest was hidden
    double waiting = 0;            // beside `seconds`: the compute stream waited in them for late peers
};

struct TrainingReport {
    std::vector<double> losses, gradient_norms;
    std::map<std::string, double> final_parameter_norms;
    std::map<std::string, std::string> final_parameter_hashes;
};

struct RankReport {
    std::int64_t rank = 0, count = 1;
    MemoryReport memory;
    TimeReport time;
};

/// One cause of the difference between a predicted and a measured step, in seconds of each.
struct GapPart {
    std::string cause;
    double predicted = 0, measured = 0;
    [[nodiscard]] double gap() const { return measured - predicted; }
};

/// The prediction beside a measured run of the same schedule.
struct PredictionReport {
    std::int64_t peak_allocated = 0, after_step = 0;   // rank 0
    std::int64_t largest_difference = 0;               // handed out against predicted bytes, at any op of any rank
    std::int64_t compared_ops = 0;
    double step = 0, measured_step = 0;                // of the steps the gap is split over
    std::vector<GapPart> gap;                          // empty when no predicted trace was given
};

struct RunReport {
    std::vector<std::pair<std::string, std::string>> scenario;   // every key and its value
    bool simulated = false;
    std::int64_t parameters = 0, trainable_parameters = 0;
    MemoryReport memory;                                         // rank 0's
    TimeReport time;                                             // the slowest rank's
    std::int64_t message_bytes = 0;                              // per rank and step, without scalars
    double sent_bytes = 0;
    std::vector<CollectiveReport> collectives;
    double tokens_per_second_per_device = 0, model_flops_utilization = 0;
    double model_flops = 0, hardware_flops = 0;                  // of one rank and step: asked for; done by the kernels, recomputation included
    double hardware_flops_utilization = 0;
    double peak_flops = 0, utilization_of_16_bit_peak = 0;       // of one device: what the two are of; MFU of the 16-bit peak where that is another
    std::string peak_dtype;                                      // in which most products run
    std::vector<StepPart> step_parts;                            // add up to time.step
    std::vector<RooflineRow> roofline;
    std::optional<CriticalPath> critical_path;
    std::vector<SensitivityRow> sensitivity;                     // --sensitivity
    std::optional<StepInterval> step_interval;                   // of a simulated step
    std::optional<TrainingReport> training;
    std::vector<RankReport> ranks;
    std::optional<ZeroFormula> formula;
    std::optional<PredictionReport> prediction;
    std::optional<TransportReport> transport;                    // GPUs of several ranks
    std::optional<LinksReport> links;                            // a run on CPUs of several ranks
    std::optional<VariationReport> variation;                    // variation.*
    std::optional<ReliabilityReport> reliability;                // of a simulated job
    std::optional<InferenceReport> inference;                    // mode inference
    bool coarse = false;                                         // a model known by groups of parameters and rules of activations
    std::optional<Explanation> explanation;                      // --explain
    std::vector<Estimate> estimates;                             // --estimators
    std::optional<Limit> limit;                                  // --max, --min
    std::vector<std::string> notes;                              // what the planner simplified
    std::vector<std::string> unused;                             // keys of an imported file that change nothing

    /// The scenario's value of `key`, or "".
    [[nodiscard]] std::string value(std::string_view key) const {
        for (const auto& [name, text] : scenario)
            if (name == key) return text;
        return {};
    }
    /// The rank (or role) with the highest peak; the lowest such. Null when no rank is listed.
    [[nodiscard]] const RankReport* largest_rank() const;
};

/// Of `links`; "" where the run has none.
[[nodiscard]] std::string links_line(const RunReport& report);

}  // namespace zerosim::analysis
