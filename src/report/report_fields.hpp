// The fields of a report's JSON that every result has: one list each, walked by a Writer (json.cpp) and by a Reader (json_parse.cpp).
// Called by those two.
// Does not know what stands beside them for some jobs only: explain_json, inference_json, job_json, step_json do.
#pragma once

#include "analysis/run_report.hpp"
#include "report/json_fields.hpp"

namespace zerosim::report {

template <class Archive, class Shortage>
void shortage_fields(Archive archive, Shortage& s) {
    archive("requested_bytes", s.requested);
    archive("allocated_bytes", s.allocated);
    archive("reserved_bytes", s.reserved);
    archive("capacity_bytes", s.capacity);
    archive("largest_free_block_bytes", s.largest_free);
}

template <class Archive, class Allocator>
void allocator_fields(Archive archive, Allocator& a) {
    archive("peak_active_bytes", a.peak_active);
    archive("requested_after_step_bytes", a.requested_after_step);
    archive("inactive_split_after_step_bytes", a.inactive_split);
    archive("peak_inactive_split_bytes", a.peak_inactive_split);
    archive("alloc_retries", a.retries);
}

template <class Archive, class Memory>
void memory_fields(Archive archive, Memory& m) {
    archive("peak_allocated_bytes", m.peak_allocated);
    archive("peak_reserved_bytes", m.peak_reserved);
    archive("init_peak_bytes", m.init_peak);
    archive("first_step_peak_bytes", m.first_step_peak);
    archive("after_init_bytes", m.after_init);
    archive("after_step_bytes", m.after_step);
    auto phases = archive.inside("phase_peaks_bytes");
    phases("forward", m.forward_peak);
    phases("backward", m.backward_peak);
    phases("optimizer", m.optimizer_peak);
    archive("at_peak_by_role_bytes", m.at_peak_by_role);
    archive("after_step_by_role_bytes", m.after_step_by_role);
    archive("device_total_bytes", m.device_total);
    archive("context_bytes", m.context);
    archive("communicator_bytes", m.communicator);
    archive("fits", m.fits);
    auto host = archive.inside("host");
    host("peak_bytes", m.host_peak);
    host("pinned_bytes", m.host_pinned);
}

template <class Archive, class Time>
void time_fields(Archive archive, Time& t) {
    archive("step_seconds", t.step);
    archive("forward_seconds", t.forward);
    archive("backward_seconds", t.backward);
    archive("optimizer_seconds", t.optimizer);
    archive("compute_seconds", t.compute);
    archive("communication_seconds", t.communication);
    archive("exposed_communication_seconds", t.exposed_communication);
}

template <class Archive, class Collective>
void collective_fields(Archive archive, Collective& c) {
    archive("kind", c.kind);
    archive("axis", c.axis);
    archive("phase", c.phase);
    archive.if_there("ranks", c.ranks);
    archive("count", c.count);
    archive("message_bytes", c.message_bytes);
    archive("sent_bytes", c.sent_bytes);
    archive("seconds", c.seconds);
    archive("algbw_bytes_per_second", c.algbw);
    archive("busbw_bytes_per_second", c.busbw);
    archive.if_there("exposed_seconds", c.exposed);
    archive.if_there("waiting_seconds", c.waiting);
}

template <class Archive, class Training>
void training_fields(Archive archive, Training& t) {
    archive("losses", t.losses);
    archive("gradient_norms", t.gradient_norms);
    archive("final_parameter_norms", t.final_parameter_norms);
    archive("final_parameter_hashes", t.final_parameter_hashes);
}

template <class Archive, class Formula>
void formula_fields(Archive archive, Formula& f) {
    archive("stage", f.stage);
    archive("parameters", f.parameters);
    archive("ranks", f.ranks);
    archive("micro_batches", f.micro_batches);
    archive("state_bytes", f.state_bytes);
    archive("state_formula", f.state_text);
    archive("sent_elements", f.sent_elements);
    archive("sent_bytes", f.sent_bytes);
    archive("sent_formula", f.sent_text);
}

template <class Archive, class Part>
void gap_fields(Archive archive, Part& p) {
    archive("cause", p.cause);
    archive("predicted_seconds", p.predicted);
    archive("measured_seconds", p.measured);
}

template <class Archive, class Prediction>
void prediction_fields(Archive archive, Prediction& p) {
    archive("peak_allocated_bytes", p.peak_allocated);
    archive("after_step_bytes", p.after_step);
    archive("largest_difference_bytes", p.largest_difference);
    archive("compared_ops", p.compared_ops);
    archive("step_seconds", p.step);
    archive("measured_step_seconds", p.measured_step);
}

}  // namespace zerosim::report
