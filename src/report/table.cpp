#include "report/table.hpp"

#include "base/units.hpp"
#include "report/cells.hpp"
#include "report/explain_table.hpp"

namespace zerosim::report {

std::string title_line(const analysis::RunReport& report) {
    std::string title = report.simulated ? "simulated" : "measured";
    const auto add = [&](std::string_view key, std::string_view format) {
        if (const std::string value = report.value(key); !value.empty()) title += "  |  " + fmt::format(fmt::runtime(format), value);
    };
    add("model", "{}");
    title += "  |  " + format_count(report.parameters) + " parameters";
    if (report.coarse) title += "  |  coarse: as good as its rules of activations";
    add("ranks", "{} rank(s)");
    if (report.inference) add("inference.cache", "inference, {} cache");
    else if (const std::string stage = report.value("strategy.zero-stage"); !stage.empty())
        title += "  |  " + fmt::format("{} ZeRO-{}", report.value("strategy.system"), stage);
    add("train.precision", "{}");
    add("cluster", "on {}");
    return title;
}

/// "  transport auto: nvlink (P2P/CUMEM, 8 ranks), network (NET/IB/GDRDMA, 8 ranks)"
std::string transport_line(const analysis::RunReport& report) {
    if (!report.transport) return {};
    if (report.simulated)
        return report.transport->asked == "auto" ? "" : fmt::format("  within a node over {}, as asked: an estimate (docs/gpus.md)\n", report.transport->asked);
    std::string paths;
    for (const auto& path : report.transport->used)
        paths += fmt::format("{}{}{}", paths.empty() ? "" : ", ", path.path, path.via.empty() ? "" : fmt::format(" ({}, {} rank{})", path.via, path.ranks, path.ranks == 1 ? "" : "s"));
    return fmt::format("  transport {}: {}\n", report.transport->asked, paths.empty() ? "NCCL did not say what it used" : paths);
}

/// Beside the prediction where there is one, else below the collectives.
std::string links_of_run(const analysis::RunReport& report, bool predicted) {
    const std::string line = analysis::links_line(report);
    const bool beside = report.prediction && !report.prediction->gap.empty();
    return line.empty() || beside != predicted ? "" : "  " + line + "\n";
}

std::string communication_section(const analysis::RunReport& report, Style style) {
    if (report.collectives.empty()) return heading("COMMUNICATION: none", style) + "\n";
    // Columns in nccl-tests' order; size and sent are of the whole step, not of one call.
    TextTable table({{"collective", "", true}, {"axis", "", true}, {"phase", "", true}, {"count", ""}, {"size", "(MiB)"}, {"sent", "(MiB)"},
                     {"time", "(ms)"}, {"exposed", "(ms)"}, {"algbw", "(GB/s)"}, {"busbw", "(GB/s)"}});
    for (const analysis::CollectiveReport& row : report.collectives)
        table.add({row.kind, fmt::format("{} ({})", row.axis, row.ranks), row.phase, std::to_string(row.count), mib(row.message_bytes),
                   mib(row.sent_bytes), milliseconds(row.seconds), milliseconds(row.exposed), gigabytes_per_second(row.algbw), gigabytes_per_second(row.busbw)});
    table.rule();
    table.add({"total without scalars", "", "", "", mib(report.message_bytes), mib(report.sent_bytes), "", "", ""});
    if (report.formula)
        table.add({"paper: " + report.formula->sent_text, "", "", "", "", mib(report.formula->sent_bytes), "", "", ""});
    std::string text = heading("COMMUNICATION of rank 0 in one step", style) + "\n" + table.render(style);
    if (report.formula)
        text += faint(fmt::format("  paper: elements a ring sends times their size, without padding; m = (N-1)/N, G = {} micro-batch(es)",
                                  report.formula->micro_batches), style) + "\n";
    return text + transport_line(report) + links_of_run(report, false);
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
    return heading("PREDICTED beside MEASURED, median step of the slowest rank", style) + "\n" + table.render(style) + links_of_run(report, true);
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
    for (const std::string& section : {limit_section(report, style), training_section(report, style), inference_section(report, style), memory_section(report, style),
                                       explain_section(report, style), estimators_section(report, style), ranks_section(report, style),
                                       communication_section(report, style), time_section(report, style), path_section(report, style),
                                       sensitivity_section(report, style), variation_section(report, style), reliability_section(report, style),
                                       gap_section(report, style)})
        if (!section.empty()) text += "\n" + section;
    return text;
}

}  // namespace zerosim::report
