#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/application.hpp"
#include "cli/commands.hpp"
#include "cli/doctor_gpus.hpp"
#include "cli/machine.hpp"
#include "config/cluster_file.hpp"

#ifdef ZEROSIM_HAS_MPI
#include "cli/mpi_library.hpp"
#endif

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <utility>

namespace zerosim::cli {
namespace {

/// What was found, and what is missing with a way to get it.
struct Findings {
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<std::string> missing;
};

void examine_build(Findings& f) {
    f.facts.emplace_back("version", version_line());
    f.facts.emplace_back("compiler", __VERSION__);
    f.facts.emplace_back("build", ZEROSIM_BUILD_TYPE);
    f.facts.emplace_back("sanitizers", std::string_view(ZEROSIM_SANITIZERS).empty() ? "none" : ZEROSIM_SANITIZERS);
    f.facts.emplace_back("BLAS", ZEROSIM_BLAS_NAME);
#ifdef ZEROSIM_HAS_MPI
    f.facts.emplace_back("MPI", mpi_library());
#else
    f.facts.emplace_back("MPI", "none");
    f.missing.emplace_back("MPI: ranks can only be threads (--ranks N); install libopenmpi-dev and openmpi-bin and build again");
#endif
    const GpuFindings gpus = examine_gpus();
    f.facts.insert(f.facts.end(), gpus.facts.begin(), gpus.facts.end());
    f.missing.insert(f.missing.end(), gpus.missing.begin(), gpus.missing.end());
    if (std::string_view(ZEROSIM_BLAS_NAME) == "reference")
        f.missing.emplace_back("BLAS: matrix products use slow loops; build with -DZEROSIM_BLAS=openblas");
}

void examine_machine(Findings& f, const Invocation& invocation) {
    const config::Machine machine = this_machine(invocation.environment);
    f.facts.emplace_back("cores", std::to_string(machine.cores));
    const std::int64_t memory = available_memory();
    f.facts.emplace_back("memory free", memory > 0 ? format_bytes(static_cast<double>(memory)) : "unknown");
    if (machine.local_ranks) f.facts.emplace_back("ranks on this node", std::to_string(*machine.local_ranks));
}

void examine_files(Findings& f, const config::SearchPaths& paths) {
    std::string folders;
    for (const auto& root : paths.configs) folders += (folders.empty() ? "" : ", ") + root.string();
    f.facts.emplace_back("configs", folders.empty() ? "none" : folders);
    f.facts.emplace_back("presets", fmt::format("{} models, {} clusters, {} scenarios", paths.names("models").size(),
                                                config::cluster_names(paths).size(), paths.names("scenarios").size()));
    const auto docs = paths.docs();
    f.facts.emplace_back("default text", docs ? docs->string() : "none");
    if (paths.configs.empty())
        f.missing.emplace_back("presets: no configs/ beside the program; install it whole or run it from its build folder");
    if (!docs) f.missing.emplace_back("the default text (docs/ beside configs/): give --train.data FILE");
    try {
        const bool measured = config::load_cluster("local", paths).measured;
        f.facts.emplace_back("cluster local", measured ? "measured on this machine" : "not measured");
        if (!measured)
            f.missing.emplace_back("a measured cluster 'local': run zerosim calibrate, so that predictions are of this machine");
    } catch (const ConfigError& error) {
        f.missing.emplace_back(fmt::format("cluster 'local': {}", error.what()));
    }
}

std::string text_of(const Findings& f) {
    std::string text;
    for (const auto& [key, value] : f.facts) text += fmt::format("{:<20}  {}\n", key, value);
    text += f.missing.empty() ? "\nnothing is missing\n" : "\nmissing\n";
    for (const std::string& line : f.missing) text += "  " + line + "\n";
    return text;
}

std::string json_of(const Findings& f) {
    nlohmann::ordered_json json{{"schema_version", 1}};
    for (const auto& [key, value] : f.facts) json["facts"][key] = value;
    json["missing"] = f.missing;
    return json.dump(2) + "\n";
}

} // namespace

int command_doctor(const Invocation& invocation) {
    const config::Reading reading = config::read_values(invocation.request());
    if (!reading.positionals.empty())
        throw ConfigError(fmt::format("command line: doctor takes no '{}'", reading.positionals.front()));
    print_remarks(reading.warnings, {});
    const config::Format format = config::format_of(reading.values);
    if (format == config::Format::csv) throw ConfigError("command line: format 'csv' is not one of table, json for doctor");
    Findings findings;
    examine_build(findings);
    examine_machine(findings, invocation);
    examine_files(findings, invocation.paths);
    write_result(reading.values.text("output"), format == config::Format::json ? json_of(findings) : text_of(findings));
    return 0;
}

} // namespace zerosim::cli
