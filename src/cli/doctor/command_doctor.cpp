#include "base/error.hpp"
#include "base/units.hpp"
#include "cli/application.hpp"
#include "cli/commands.hpp"
#include "cli/doctor/doctor_gpus.hpp"
#include "cli/doctor/doctor_ranks.hpp"
#include "cli/doctor/findings.hpp"
#include "cli/machine.hpp"
#include "cli/run/run_ranks.hpp"
#include "cli/doctor/system_files.hpp"
#include "comm/gpu_world.hpp"
#include "comm/launcher.hpp"
#include "config/cluster_file.hpp"
#include "device/gpu.hpp"

#ifdef ZEROSIM_HAS_MPI
#include "cli/doctor/mpi_library.hpp"
#endif

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <exception>
#include <optional>
#include <utility>

namespace zerosim::cli {
namespace {

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

/// Against `--cluster`, where that is asked for; the machine's own measured cluster says nothing about its hardware.
std::optional<cluster::Cluster> expected_cluster(const config::Values& values, const config::SearchPaths& paths) {
    if (!values.given("cluster")) return std::nullopt;
    return config::load_cluster(values.text("cluster"), paths);
}

void examine_gpus(Findings& f, const Hardware& machine, const config::Values& values, const Invocation& invocation) {
    f.facts.emplace_back("CUDA", device::cuda_versions());
    f.facts.emplace_back("NCCL", nccl_here());
    std::string reason;
    const int usable = device::count_gpus(&reason);
    if (usable == 0 && machine.machine.gpus.empty()) f.facts.emplace_back("GPUs", "none");
    if (usable == 0) f.missing.push_back(fmt::format("a GPU: {}; runs are on the CPU, clusters of GPUs can be simulated", reason));
    f.add(gpu_findings(machine, expected_cluster(values, invocation.paths)));
    if (usable > 0 && !comm::built_with_nccl()) f.missing.emplace_back("NCCL: one rank alone can use a GPU; build where NCCL is (NCCL_HOME)");
    std::vector<std::pair<std::string, std::string>> switches;
    for (const char* name : {"NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE", "NCCL_NET_DISABLE_INTRA", "NCCL_ALGO", "NCCL_PROTO", "NCCL_HOSTID"})
        if (const auto found = invocation.environment.find(name); found != invocation.environment.end()) switches.emplace_back(*found);
    f.add(switch_findings(switches));
}

/// Under a launcher: what every rank says of itself, on rank 0; nothing elsewhere.
std::vector<RankFacts> examine_ranks(MpiJob& job, const SystemFiles& files, const Hardware& machine) {
    RankFacts mine = own_rank_facts(gpu_place(job.rank(), job.size()), files);
    // Rank 0 tells of its own machine in full.
    if (job.rank() != 0 && mine.local_rank == 0) mine.warnings = gpu_findings(machine, std::nullopt).warnings;
    std::vector<RankFacts> ranks;
    for (const std::string& text : job.gather(to_text(mine)))
        if (job.rank() == 0) ranks.push_back(rank_facts_from_text(text));
    return ranks;
}

std::string lines_of(const char* title, const std::vector<std::string>& lines) {
    if (lines.empty()) return {};
    std::string text = fmt::format("\n{}\n", title);
    for (const std::string& line : lines) text += "  " + line + "\n";
    return text;
}

std::string text_of(const Findings& f) {
    std::string text;
    for (const auto& [key, value] : f.facts) text += fmt::format("{:<20}  {}\n", key, value);
    return text + lines_of("what will hurt", f.warnings) + (f.missing.empty() ? "\nnothing is missing\n" : lines_of("missing", f.missing));
}

std::string json_of(const Findings& f) {
    nlohmann::ordered_json json{{"schema_version", 1}};
    for (const auto& [key, value] : f.facts) json["facts"][key] = value;
    json["warnings"] = f.warnings;
    json["missing"] = f.missing;
    return json.dump(2) + "\n";
}

void report(const config::Reading& reading, const Invocation& invocation, const Hardware& machine, const std::vector<RankFacts>& ranks) {
    Findings findings;
    examine_build(findings);
    examine_machine(findings, invocation);
    examine_gpus(findings, machine, reading.values, invocation);
    if (!ranks.empty()) findings.add(rank_findings(ranks));
    examine_files(findings, invocation.paths);
    write_result(reading.values.text("output"), config::format_of(reading.values) == config::Format::json ? json_of(findings) : text_of(findings));
}

config::Reading read(const Invocation& invocation) {
    config::Reading reading = config::read_values(invocation.request());
    if (!reading.positionals.empty())
        throw ConfigError(fmt::format("command line: doctor takes no '{}'", reading.positionals.front()));
    if (config::format_of(reading.values) == config::Format::csv) throw ConfigError("command line: format 'csv' is not one of table, json for doctor");
    static_cast<void>(expected_cluster(reading.values, invocation.paths));
    return reading;
}

void examine_under_mpi(const Invocation& invocation, MpiJob& job) {
    std::optional<config::Reading> reading;
    std::optional<Failure> failure;
    try {
        reading = read(invocation);
    } catch (...) {
        failure = describe_failure(std::current_exception());
    }
    job.fail_together(failure);
    const SystemFiles files;
    const Hardware machine = hardware(files);
    const std::vector<RankFacts> ranks = examine_ranks(job, files, machine);
    if (job.rank() != 0) return;
    print_remarks(reading->warnings, {});
    report(*reading, invocation, machine, ranks);
}

} // namespace

int command_doctor(const Invocation& invocation) {
    if (!comm::launched_by_mpi()) {
        const config::Reading reading = read(invocation);
        print_remarks(reading.warnings, {});
        report(reading, invocation, hardware(SystemFiles()), {});
        return 0;
    }
    MpiJob job(config::Values().real("timeout-seconds"));
    try {
        examine_under_mpi(invocation, job);
    } catch (...) {
        job.fail(describe_failure(std::current_exception()));
    }
    return 0;
}

} // namespace zerosim::cli
