// `zerosim calibrate`: measures this machine with all ranks at work, and stores it as the cluster `local` (GPUs: `local-gpu`).
#include "base/error.hpp"
#include "cli/calibrate/calibrate_text.hpp"
#include "cli/commands.hpp"
#include "cli/calibrate/gpu_calibrate.hpp"
#include "cli/machine.hpp"
#include "comm/launcher.hpp"
#include "config/cluster_file.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cli {
namespace {

std::string provenance(const Measurement& m, int repeats) {
    return fmt::format(
        "Written by zerosim calibrate: {} {}, {} thread(s) each, on {} cores; medians of {} repeats, all ranks at once.\n"
        "Rates are of one core.{}",
        m.ranks, m.transport, m.threads, m.cores, repeats,
        m.ranks > 1 ? "" : " One rank: the links are those that this file replaced.");
}

/// As asked; without a launcher a rank a core, but at least two, for the links, and no more than eight, for the buffers.
std::int64_t ranks_of(const config::Values& values) {
    if (values.given("ranks")) return values.integer("ranks");
    return comm::launched_by_mpi() ? 0 : std::clamp(available_cores(), 2, 8);
}

std::filesystem::path destination(const config::Values& values, const char* name) {
    if (!values.text("output").empty()) return values.text("output");
    const std::filesystem::path folder = config::user_clusters();
    if (folder.empty()) throw EnvironmentError("neither XDG_CONFIG_HOME nor HOME is set: name a file with --output");
    return folder / name;
}

/// --device cuda: the cluster `local-gpu`.
int calibrate_on_gpus(const config::Reading& reading, const Invocation& invocation) {
    const config::Values& values = reading.values;
    GpuCalibration asked;
    asked.base = values.given("cluster") ? values.text("cluster") : "";
    asked.batches = std::max(1, std::min(static_cast<int>(values.integer("repeats")), 5)); // each is of many calls
    asked.share = values.boolean("share-device");
    asked.timeout_seconds = values.real("timeout-seconds");
    asked.file = destination(values, "local-gpu.cfg");
    asked.json = config::format_of(values) == config::Format::json;
    RankTeam team(values.given("ranks") ? values.integer("ranks") : 0, asked.timeout_seconds);
    const std::string text = calibrate_gpus(team, asked, invocation.paths);
    if (!team.has_rank_zero()) return 0;
    print_remarks(reading.warnings, {});
    fmt::print("{}", text);
    return 0;
}

} // namespace

int command_calibrate(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    if (!reading.positionals.empty())
        throw ConfigError(
            fmt::format("command line: calibrate takes no '{}'; --output names the file", reading.positionals.front()));
    const config::Values& values = reading.values;
    const config::Format format = config::format_of(values);
    if (format == config::Format::csv) values.refuse("format", "is not one of calibrate's; use table or json");
    if (values.text("device") == "cuda") return calibrate_on_gpus(reading, invocation);
    if (values.boolean("share-device")) values.refuse("share-device", "is for GPUs: add --device cuda");
    const std::filesystem::path file = destination(values, "local.cfg");
    RankTeam team(ranks_of(values), values.real("timeout-seconds"));
    const int repeats = static_cast<int>(values.integer("repeats"));
    const Measurement measurement = measure(team, values.integer("compute-threads"), repeats);
    if (!team.has_rank_zero()) return 0;
    print_remarks(reading.warnings, {});
    const Fitted fit = fitted(config::load_cluster("local", invocation.paths), measurement);
    config::save_cluster(file, fit.cluster, provenance(measurement, repeats));
    if (format == config::Format::json)
        fmt::print("{}", json_text(measurement, fit, file.string()));
    else
        fmt::print("{}{}{}\nstored in {}\n", kernel_table(measurement), collective_table(measurement, fit.cluster),
                   fit_table(measurement, fit), file.string());
    return 0;
}

} // namespace zerosim::cli
