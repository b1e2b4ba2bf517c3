#include "report/explain_table.hpp"

#include "base/units.hpp"
#include "report/cells.hpp"

namespace zerosim::report {
namespace {

std::string holders_table(const analysis::Explanation& e, Style style) {
    TextTable table({{"held by", "", true}, {"role", "", true}, {"bytes", "(MiB)"}, {"of peak", "(%)"}, {"formula", "", true}, {"with", "", true}});
    for (const analysis::Holder& h : e.holders)
        table.add({h.name, words(name(h.role)), mib(h.bytes), percent(static_cast<double>(h.bytes), static_cast<double>(e.peak_bytes)), h.formula, h.numbers});
    if (e.other_bytes != 0)
        table.add({"all else", "", mib(e.other_bytes), percent(static_cast<double>(e.other_bytes), static_cast<double>(e.peak_bytes)), "", ""});
    return table.render(style);
}

std::string alternatives_table(const analysis::Explanation& e, Style style) {
    if (e.alternatives.empty()) return "  no single change of an option lowers the peak\n";
    TextTable table({{"what would lower it (each planned)", "", true}, {"option", "", true}, {"peak", "(MiB)"}, {"saves", "(MiB)"}});
    for (const analysis::Alternative& a : e.alternatives) table.add({a.what, a.key + " " + a.value, mib(a.peak_allocated), mib(a.saves)});
    return table.render(style);
}

}  // namespace

std::string explain_section(const analysis::RunReport& report, Style style) {
    if (!report.explanation) return {};
    const analysis::Explanation& e = *report.explanation;
    const std::string layer = e.peak_layer >= 0 ? fmt::format(" of block {}", e.peak_layer) : "";
    std::string text = heading("WHY THE PEAK", style) + fmt::format("\n  {} MiB of tensors when {} makes '{}'{}\n", mib(e.peak_bytes), e.peak_phase, e.peak_op, layer);
    text += holders_table(e, style) + "\n" + alternatives_table(e, style);
    for (const std::string& remark : e.remarks) text += "  note: " + remark + "\n";
    return text;
}

std::string estimators_section(const analysis::RunReport& report, Style style) {
    if (report.estimates.empty()) return {};
    TextTable table({{"who", "", true}, {"device", "(MiB)"}, {"of ours", "(%)"}, {"host", "(MiB)"}, {"formula", "", true}});
    const double ours = static_cast<double>(report.memory.peak_reserved);
    table.add({"zerosim, reserved at the peak", mib(ours), "100.0", mib(report.memory.host_peak), "every buffer of the schedule"});
    for (const analysis::Estimate& e : report.estimates) table.add({e.tool, mib(e.device_bytes), percent(e.device_bytes, ours), mib(e.host_bytes), e.formula});
    return heading("ESTIMATORS, by their published formulas", style) + "\n" + table.render(style) +
           faint("  P = parameters, N = GPUs, L = parameters of the largest module; no activations, no buffers", style) + "\n";
}

std::string limit_section(const analysis::RunReport& report, Style style) {
    if (!report.limit) return {};
    const analysis::Limit& l = *report.limit;
    std::string text = heading(l.largest ? "THE LARGEST THAT FITS" : "THE SMALLEST THAT FITS", style) + "\n";
    if (l.value == 0) text += fmt::format("  no value of {} fits: {} is stopped by {}\n", l.key, format_count(l.next), l.stopped_by);
    else text += fmt::format("  {} = {}", l.key, format_count(l.value));
    if (l.value != 0) text += l.next == 0 ? fmt::format("; stopped by {}\n", l.stopped_by) : fmt::format("; {} is stopped by {}\n", format_count(l.next), l.stopped_by);
    if (l.step > 1) text += faint(fmt::format("  multiples of {} were tried", format_count(l.step)), style) + "\n";
    return text;
}

}  // namespace zerosim::report
