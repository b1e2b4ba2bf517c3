#include "report/table.hpp"

#include "base/units.hpp"
#include "report/cells.hpp"

namespace zerosim::report {

std::string title_line(const analysis::RunReport& report) {
    std::string title = report.simulated ? "simulated" : "measured";
    const auto add = [&](std::string_view key, std::string_view format) {
        if (const std::string value = report.value(key); !value.empty()) title += "  |  " + fmt::format(fmt::runtime(format), value);
    };
    add("model", "{}");
    title += "  |  " + format_count(report.parameters) + " parameters";
    add("ranks", "{} rank(s)");
    if (const std::string stage = report.value("strategy.zero-stage"); !stage.empty())
        title += "  |  " + fmt::format("{} ZeRO-{}", report.value("strategy.system"), stage);
    add("train.precision", "{}");
    add("cluster", "on {}");
    return title;
}

std::string communication_section(const analysis::RunReport& report, Style style) {
    if (report.collectives.empty()) return heading("COMMUNICATION: none", style) + "\n";
    // Columns in nccl-tests' order; size and sent are of the whole step, not of one call.
    TextTable table({{"collective", "", true}, {"axis", "", true}, {"phase", "", true}, {"count", ""}, {"size", "(MiB)"}, {"sent", "(MiB)"},
                     {"time", "(ms)"}, {"algbw", "(GB/s)"}, {"busbw", "(GB/s)"}});
    for (const analysis::CollectiveReport& row : report.collectives)
        table.add({row.kind, fmt::format("{} ({})", row.axis, row.ranks), row.phase, std::to_string(row.count), mib(row.message_bytes),
                   mib(row.sent_bytes), milliseconds(row.seconds), gigabytes_per_second(row.algbw), gigabytes_per_second(row.busbw)});
    table.rule();
    table.add({"total without scalars", "", "", "", mib(report.message_bytes), mib(report.sent_bytes), "", "", ""});
    if (report.formula)
        table.add({"paper: " + report.formula->sent_text, "", "", "", "", mib(report.formula->sent_bytes), "", "", ""});
    std::string text = heading("COMMUNICATION of rank 0 in one step", style) + "\n" + table.render(style);
    if (report.formula)
        text += faint(fmt::format("  paper: elements a ring sends times their size, without padding; m = (N-1)/N, G = {} micro-batch(es)",
                                  report.formula->micro_batches), style) + "\n";
    return text;
}

namespace {

/// What a faster part would shorten most: the step's largest share on the compute stream.
std::string verdict(const analysis::TimeReport& time) {
    if (time.step <= 0) return {};
    const double idle = std::max(0.0, time.step - time.compute - time.exposed_communication);
    const std::string_view bound = time.exposed_communication > std::max(time.compute, idle) ? "communication-bound"
                                   : idle > time.compute                                     ? "host-bound"
                                                                                             : "compute-bound";
    return fmt::format("  {}: kernels fill {:.1f} % of the step, exposed communication {:.1f} %, host and other waits {:.1f} %\n", bound, 100 * time.compute / time.step,
                       100 * time.exposed_communication / time.step, 100 * idle / time.step);
}

}  // namespace

std::string time_section(const analysis::RunReport& report, Style style) {
    const analysis::TimeReport& time = report.time;
    TextTable table({{"", "", true}, {"time", "(ms)"}, {"of step", "(%)"}, {"", "", true}});
    const auto add = [&](std::string_view name, double seconds, std::string_view note) {
        table.add({std::string(name), milliseconds(seconds), percent(seconds, time.step), std::string(note)});
    };
    add("step", time.step, "median over the steps after the first, slowest rank");
    add("forward", time.forward, "");
    add("backward", time.backward, "");
    add("optimizer", time.optimizer, "clipping and the step");
    table.rule();
    add("compute", time.compute, "compute stream busy");
    add("communication", time.communication, "some collective running");
    add("exposed communication", time.exposed_communication, "compute stream idle, waiting for a collective");
    std::string text = heading("TIME", style) + "\n" + table.render(style) + verdict(time);
    text += fmt::format("  {:.1f} tokens/s per device", report.tokens_per_second_per_device);
    if (report.model_flops_utilization > 0)
        text += fmt::format(", model FLOPs utilization {:.1f} %", 100 * report.model_flops_utilization);
    return text + "\n";
}

std::string gap_section(const analysis::RunReport& report, Style style) {
    if (!report.prediction || report.prediction->gap.empty()) return {};
    const analysis::PredictionReport& prediction = *report.prediction;
    TextTable table({{"cause", "", true}, {"predicted", "(ms)"}, {"measured", "(ms)"}, {"gap", "(ms)"}});
    for (const analysis::GapPart& part : prediction.gap)
        table.add({part.cause, milliseconds(part.predicted), milliseconds(part.measured), signed_milliseconds(part.gap())});
    table.rule();
    table.add({"step", milliseconds(prediction.step), milliseconds(prediction.measured_step),
               signed_milliseconds(prediction.measured_step - prediction.step)});
    return heading("PREDICTED beside MEASURED, median step of the slowest rank", style) + "\n" + table.render(style);
}

std::string training_section(const analysis::RunReport& report, Style style) {
    if (!report.training || report.training->losses.empty()) return {};
    const auto& losses = report.training->losses;
    std::string text = heading("TRAINING", style) + fmt::format("\n  {} step(s), loss {:.4f}", losses.size(), losses.front());
    if (losses.size() > 1) text += fmt::format(" -> {:.4f}", losses.back());
    if (!report.training->gradient_norms.empty()) text += fmt::format(", last gradient norm {:.4f}", report.training->gradient_norms.back());
    return text + "\n";
}

std::string render_table(const analysis::RunReport& report, Style style) {
    std::string text = heading(title_line(report), style) + "\n";
    for (const std::string& section : {training_section(report, style), memory_section(report, style), ranks_section(report, style),
                                       communication_section(report, style), time_section(report, style), gap_section(report, style)})
        if (!section.empty()) text += "\n" + section;
    return text;
}

}  // namespace zerosim::report
