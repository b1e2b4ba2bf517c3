#include "analysis/compare.hpp"

#include "base/units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace zerosim::analysis {
namespace {

class Rows {
public:
    explicit Rows(std::span<const RunReport> reports) : reports_(reports) {}

    template <class Value>
    void add(std::string_view section, std::string_view name, Quantity quantity, Value value) {
        ComparedValue row{std::string(section), std::string(name), quantity, {}};
        for (const RunReport& report : reports_) row.values.push_back(static_cast<double>(value(report)));
        if (std::ranges::any_of(row.values, [](double x) { return x != 0; })) rows_.push_back(std::move(row));
    }
    [[nodiscard]] std::vector<ComparedValue> take() { return std::move(rows_); }

private:
    std::span<const RunReport> reports_;
    std::vector<ComparedValue> rows_;
};

void add_training(Rows& rows) {
    const auto last = [](const std::vector<double>& values) { return values.empty() ? 0.0 : values.back(); };
    rows.add("training", "last loss", Quantity::ratio,
             [&](const RunReport& r) { return r.training ? last(r.training->losses) : 0.0; });
    rows.add("training", "last gradient norm", Quantity::ratio,
             [&](const RunReport& r) { return r.training ? last(r.training->gradient_norms) : 0.0; });
}

void add_memory(Rows& rows) {
    for (std::size_t role = 0; role < static_cast<std::size_t>(schedule::Role::count_); ++role)
        rows.add("memory after step", name(static_cast<schedule::Role>(role)), Quantity::bytes,
                 [=](const RunReport& r) { return r.memory.after_step_by_role[role]; });
    rows.add("memory after step", "total", Quantity::bytes, [](const RunReport& r) { return r.memory.after_step; });
    for (std::size_t role = 0; role < static_cast<std::size_t>(schedule::Role::count_); ++role)
        rows.add("memory at peak", name(static_cast<schedule::Role>(role)), Quantity::bytes,
                 [=](const RunReport& r) { return r.memory.at_peak_by_role[role]; });
    rows.add("memory at peak", "total", Quantity::bytes, [](const RunReport& r) { return r.memory.peak_allocated; });
    rows.add("memory of the device", "context", Quantity::bytes, [](const RunReport& r) { return r.memory.context; });
    rows.add("memory of the device", "communicators", Quantity::bytes, [](const RunReport& r) { return r.memory.communicator; });
}

std::string label(const CollectiveReport& row) { return row.kind + ' ' + row.axis + ' ' + row.phase; }

void add_communication(Rows& rows, std::span<const RunReport> reports) {
    std::vector<std::string> labels;
    for (const RunReport& report : reports)
        for (const CollectiveReport& row : report.collectives)
            if (std::ranges::find(labels, label(row)) == labels.end()) labels.push_back(label(row));
    for (const std::string& wanted : labels)
        rows.add("bytes sent per step", wanted, Quantity::bytes, [&](const RunReport& report) {
            double sum = 0;
            for (const CollectiveReport& row : report.collectives)
                if (label(row) == wanted) sum += row.sent_bytes;
            return sum;
        });
    rows.add("bytes sent per step", "total without scalars", Quantity::bytes, [](const RunReport& r) { return r.sent_bytes; });
}

void add_times(Rows& rows) {
    const auto add = [&](std::string_view name, double TimeReport::*member) {
        rows.add("time", name, Quantity::seconds, [=](const RunReport& r) { return r.time.*member; });
    };
    add("step", &TimeReport::step);
    add("forward", &TimeReport::forward);
    add("backward", &TimeReport::backward);
    add("optimizer", &TimeReport::optimizer);
    add("compute", &TimeReport::compute);
    add("communication", &TimeReport::communication);
    add("exposed communication", &TimeReport::exposed_communication);
    rows.add("throughput", "tokens per second per device", Quantity::tokens_per_second,
             [](const RunReport& r) { return r.tokens_per_second_per_device; });
    rows.add("throughput", "model FLOPs utilization", Quantity::ratio, [](const RunReport& r) { return r.model_flops_utilization; });
}

/// A result file holds 1e-3 as the number 0.001.
bool same_value(const std::string& one, const std::string& other) {
    if (one == other) return true;
    const std::optional<double> number = parse_real(one);
    return number && number == parse_real(other);
}

}  // namespace

double ComparedValue::difference() const {
    double largest = 0;
    for (const double value : values) {
        const double scale = std::max(std::abs(value), std::abs(values.front()));
        if (scale > 0) largest = std::max(largest, std::abs(value - values.front()) / scale);
    }
    return largest;
}

std::vector<ComparedValue> compare(std::span<const RunReport> reports) {
    Rows rows(reports);
    rows.add("model", "parameters", Quantity::count, [](const RunReport& r) { return r.parameters; });
    // A predicted run has no loss: there is nothing to compare, not a loss of 0.
    if (std::ranges::all_of(reports, [](const RunReport& r) { return r.training.has_value(); })) add_training(rows);
    add_memory(rows);
    add_communication(rows, reports);
    add_times(rows);
    return rows.take();
}

std::vector<ComparedKey> differing_keys(std::span<const RunReport> reports) {
    std::vector<std::string> keys;
    // Where a result was written says nothing about the job.
    static constexpr std::array<std::string_view, 3> kPlaces{"output", "perfetto", "format"};
    for (const RunReport& report : reports)
        for (const auto& [key, value] : report.scenario)
            if (std::ranges::find(keys, key) == keys.end() && std::ranges::find(kPlaces, key) == kPlaces.end()) keys.push_back(key);
    std::vector<ComparedKey> result;
    for (const std::string& key : keys) {
        ComparedKey row{key, {}};
        for (const RunReport& report : reports) row.values.push_back(report.value(key));
        if (std::ranges::any_of(row.values, [&](const std::string& value) { return !same_value(value, row.values.front()); }))
            result.push_back(std::move(row));
    }
    return result;
}

std::vector<std::string> comparison_notes(std::span<const std::string> labels, std::span<const RunReport> reports) {
    std::string peaks, of_16_bit;
    bool differ = false;
    const RunReport* first = nullptr;
    for (std::size_t i = 0; i < reports.size(); ++i) {
        const RunReport& r = reports[i];
        if (r.peak_flops <= 0) continue;
        if (first == nullptr) first = &r;
        differ |= r.peak_dtype != first->peak_dtype;
        peaks += fmt::format("{}{} of {:.0f} TFLOP/s ({})", peaks.empty() ? "" : ", ", labels[i], r.peak_flops / 1e12, r.peak_dtype);
        if (r.utilization_of_16_bit_peak > 0) of_16_bit += fmt::format("; of its 16-bit peak {} has {:.1f} %", labels[i], 100 * r.utilization_of_16_bit_peak);
    }
    std::vector<std::string> notes;
    if (differ) notes.push_back(fmt::format("model FLOPs utilizations are parts of different peaks: {}{}", peaks, of_16_bit));
    for (std::size_t i = 0; i < reports.size(); ++i)
        if (const std::string line = links_line(reports[i]); !line.empty()) notes.push_back(labels[i] + ": " + line);
    return notes;
}

}  // namespace zerosim::analysis
