#include "cli/run/rank_results.hpp"

#include "analysis/memory_report.hpp"
#include "base/error.hpp"
#include "base/transport.hpp"
#include "trace/clock.hpp"
#include "trace/trace_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace zerosim::cli {
namespace {

template <class T>
void put(std::string& out, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
void put_all(std::string& out, const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    put(out, values.size());
    out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

void put_text(std::string& out, const std::string& text) { put_all(out, std::vector<char>(text.begin(), text.end())); }

class Reader {
public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}
    template <class T>
    T get() {
        T value;
        take(&value, sizeof value);
        return value;
    }
    template <class T>
    std::vector<T> get_all() {
        std::vector<T> values(get<std::size_t>());
        take(values.data(), values.size() * sizeof(T));
        return values;
    }
    std::string get_text() {
        const std::vector<char> letters = get_all<char>();
        return {letters.begin(), letters.end()};
    }

private:
    void take(void* to, std::size_t count) {
        check(count <= bytes_.size(), "a rank's results are cut short");
        if (count > 0) std::memcpy(to, bytes_.data(), count);
        bytes_.remove_prefix(count);
    }
    std::string_view bytes_;
};

}  // namespace

std::string to_bytes(const exec::RankResult& result) {
    std::string out;
    put_all(out, trace::to_bytes(result.trace));
    put_all(out, result.steps);
    put_all(out, result.final_parameters);
    put(out, result.peak_bytes);
    put(out, result.end_bytes);
    put(out, result.interrupted);
    put(out, result.driver);
    put(out, result.paths.size());
    for (const comm::PathUse& use : result.paths) {
        put_text(out, use.path);
        put_text(out, use.via);
        put(out, use.channels);
    }
    put(out, result.remarks.size());
    for (const std::string& remark : result.remarks) put_text(out, remark);
    return out;
}

exec::RankResult rank_result_from_bytes(std::string_view bytes) {
    Reader reader(bytes);
    exec::RankResult result;
    result.trace = trace::from_bytes(reader.get_all<std::byte>());
    result.steps = reader.get_all<exec::StepResult>();
    result.final_parameters = reader.get_all<exec::FinalParameter>();
    result.peak_bytes = reader.get<std::int64_t>();
    result.end_bytes = reader.get<std::int64_t>();
    result.interrupted = reader.get<bool>();
    result.driver = reader.get<device::DriverMemory>();
    result.paths.resize(reader.get<std::size_t>());
    for (comm::PathUse& use : result.paths) {
        use.path = reader.get_text();
        use.via = reader.get_text();
        use.channels = reader.get<std::int64_t>();
    }
    result.remarks.resize(reader.get<std::size_t>());
    for (std::string& remark : result.remarks) remark = reader.get_text();
    return result;
}

analysis::TrainingReport training_report(const schedule::Schedule& schedule, const std::vector<exec::RankResult>& ranks) {
    analysis::TrainingReport report;
    for (const exec::StepResult& step : ranks.front().steps) {
        report.losses.push_back(step.loss);
        report.gradient_norms.push_back(std::isfinite(step.gradient_norm) ? step.gradient_norm : -1.0);   // an overflow that was skipped
    }
    for (std::size_t p = 0; p < schedule.parameters.size(); ++p) {
        double squares = 0;
        std::uint64_t hash = 0;
        for (const exec::RankResult& rank : ranks) {
            squares += rank.final_parameters[p].squared_norm;
            hash += rank.final_parameters[p].hash;
        }
        if (!std::isfinite(squares)) throw VerificationError(fmt::format("parameter {} is not finite after the last step", schedule.parameters[p]));
        report.final_parameter_norms[schedule.parameters[p]] = std::sqrt(squares);
        report.final_parameter_hashes[schedule.parameters[p]] = fmt::format("{:016x}", hash);
    }
    return report;
}

trace::Trace merged_trace(const schedule::Schedule& schedule, std::vector<exec::RankResult>& ranks) {
    trace::Trace merged;
    for (exec::RankResult& rank : ranks) merged.ranks.push_back(std::move(rank.trace));
    trace::align_clocks(schedule, merged);
    return merged;
}

namespace {

analysis::DriverReport driver_report(const device::DriverMemory& d) {
    using device::DriverPart;
    return {d.at_end,  d.before,   d.part(DriverPart::context), d.part(DriverPart::pools), d.part(DriverPart::communicators), d.part(DriverPart::libraries), d.other(),
            d.settled, d.growth(), d.of_process,                d.shared,                  0,                                 0};
}

}  // namespace

void add_devices(analysis::RunReport& report, const std::vector<exec::RankResult>& ranks, const std::string& asked_transport) {
    for (analysis::RankReport& entry : report.ranks) {
        const auto at = static_cast<std::size_t>(entry.rank);
        if (at < ranks.size() && ranks[at].driver.measured()) analysis::use_driver(entry.memory, driver_report(ranks[at].driver), ranks[at].driver.total);
    }
    if (!report.ranks.empty()) report.memory = report.ranks.front().memory;
    for (const exec::RankResult& rank : ranks)           // said once, whichever ranks said it
        for (const std::string& remark : rank.remarks)
            if (std::ranges::find(report.notes, remark) == report.notes.end()) report.notes.push_back(remark);
    std::vector<analysis::TransportReport::Path> used;
    for (const exec::RankResult& rank : ranks)
        for (const comm::PathUse& use : rank.paths) {
            const auto same = std::ranges::find_if(used, [&](const auto& known) { return known.path == use.path && known.via == use.via; });
            auto& row = same != used.end() ? *same : used.emplace_back(use.path, use.via, 0, 0);
            ++row.ranks;
            row.channels += use.channels;
        }
    if (ranks.size() > 1 && (!used.empty() || asked_transport != name(Transport::automatic))) report.transport = {asked_transport, std::move(used)};
}

void add_links(analysis::RunReport& report, const LinkTimes& links, const cluster::Cluster& cluster, std::int64_t ranks) {
    const cluster::HostTransport& known = cluster.transport;
    report.links = analysis::LinksReport{kLinkReference.bytes, links.before, links.after, known.reference_ranks == ranks ? known.reference_seconds : 0.0};
    if (std::string line = analysis::links_line(report); !line.empty()) report.notes.push_back(std::move(line));
}

double median_step_seconds(const exec::RankResult& rank) {
    std::vector<double> seconds;
    for (const exec::StepResult& step : rank.steps)
        if (step.step > 1 || rank.steps.size() == 1) seconds.push_back(step.seconds);
    if (seconds.empty()) return 0;
    std::ranges::nth_element(seconds, seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2));
    return seconds[seconds.size() / 2];
}

}  // namespace zerosim::cli
