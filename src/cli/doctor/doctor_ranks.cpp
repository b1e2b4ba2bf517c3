#include "cli/doctor/doctor_ranks.hpp"

#include "base/error.hpp"
#include "cli/application.hpp"
#include "cli/run/gpu_transport.hpp"
#include "cli/machine.hpp"
#include "comm/gpu_world.hpp"
#include "device/gpu.hpp"
#ifdef ZEROSIM_HAS_MPI
#include "cli/doctor/mpi_library.hpp"
#endif

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sched.h>
#include <algorithm>
#include <set>

namespace zerosim::cli {
namespace {

std::vector<int> own_cpus() {
    std::vector<int> cpus;
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &mask)) cpus.push_back(cpu);
    return cpus;
}

std::vector<int> nodes_of(const std::vector<int>& cpus, const std::vector<NumaNode>& numa) {
    std::vector<int> nodes;
    for (const NumaNode& node : numa)
        if (std::ranges::any_of(node.cpus, [&](int cpu) { return std::ranges::find(cpus, cpu) != cpus.end(); })) nodes.push_back(node.number);
    return nodes;
}

std::string numbers(const std::vector<int>& values) { return values.empty() ? "not told" : cpu_text(values); }

/// "ranks 0, 1, 2"
std::string ranks_text(const std::vector<int>& ranks) {
    return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", cpu_text(ranks));
}

void add_sharing(Findings& f, std::span<const RankFacts> ranks) {
    std::map<std::pair<std::string, std::string>, std::vector<int>> by_gpu, by_cores;
    std::map<std::string, std::size_t> cores;
    for (const RankFacts& rank : ranks) {
        if (!rank.gpu.empty()) by_gpu[{rank.host, rank.gpu}].push_back(rank.rank);
        by_cores[{rank.host, cpu_text(rank.cpus)}].push_back(rank.rank);
        cores[cpu_text(rank.cpus)] = rank.cpus.size();
    }
    for (const auto& [gpu, sharing] : by_gpu)
        if (sharing.size() > 1)
            f.warnings.push_back(fmt::format("{} of {} would share GPU {}: runs refuse that (--share-device true allows it, slowly)", ranks_text(sharing), gpu.first, gpu.second));
    for (const auto& [set, sharing] : by_cores)
        if (sharing.size() > cores[set.second] && cores[set.second] > 0)
            f.warnings.push_back(fmt::format("{} of {} share {} core{} ({}): their host threads and NCCL's wait for each other (fewer ranks, or a wider binding: mpirun --bind-to none)",
                                             ranks_text(sharing), set.first, cores[set.second], cores[set.second] == 1 ? "" : "s", set.second));
}

void add_binding(Findings& f, const RankFacts& rank) {
    if (rank.gpu_numa < 0 || rank.numa_nodes.empty()) return;
    if (std::ranges::find(rank.numa_nodes, rank.gpu_numa) == rank.numa_nodes.end())
        f.warnings.push_back(fmt::format("rank {} of {} is bound to NUMA node {}, and its GPU {} hangs on node {}: copies and launches cross the sockets' link (bind by GPU, or "
                                         "mpirun --bind-to none)", rank.rank, rank.host, numbers(rank.numa_nodes), rank.gpu_number, rank.gpu_numa));
}

void add_versions(Findings& f, std::span<const RankFacts> ranks) {
    std::set<std::string> kinds;
    for (const RankFacts& rank : ranks)
        for (const auto& [kind, version] : rank.versions) kinds.insert(kind);
    for (const std::string& kind : kinds) {
        std::map<std::string, std::vector<int>> by_version;
        for (const RankFacts& rank : ranks) {
            const auto found = rank.versions.find(kind);
            by_version[found == rank.versions.end() ? "none" : found->second].push_back(rank.rank);
        }
        if (by_version.size() < 2) continue;
        std::string text;
        for (const auto& [version, with] : by_version) text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", version, ranks_text(with));
        f.warnings.push_back(fmt::format("{} differs between ranks: {}", kind, text));
    }
}

}  // namespace

std::string nccl_here() {
    try {
        return comm::nccl_version_text();
    } catch (const EnvironmentError& error) {
        return error.what();
    }
}

RankFacts own_rank_facts(const GpuPlace& place, const SystemFiles& files) {
    RankFacts facts;
    facts.rank = place.rank;
    facts.local_rank = place.local_rank;
    facts.host = host_name();
    facts.cpus = own_cpus();
    facts.numa_nodes = nodes_of(facts.cpus, files.numa_nodes());
    if (const int visible = device::count_gpus(); visible > 0) {
        facts.gpu_number = place.local_rank % visible;
        facts.gpu = device::pci_of(facts.gpu_number);
        facts.gpu_numa = files.numa_node_of(facts.gpu);
    }
    facts.versions = {{"zerosim", version_line()}, {"CUDA", device::cuda_versions()}};
    if (facts.gpu_number >= 0) facts.versions["NCCL"] = nccl_here();
    if (const std::string driver = gpu_machine().driver; !driver.empty()) facts.versions["driver"] = driver;
#ifdef ZEROSIM_HAS_MPI
    facts.versions["MPI"] = mpi_library();
#endif
    return facts;
}

std::string to_text(const RankFacts& f) {
    return nlohmann::json{{"rank", f.rank}, {"local_rank", f.local_rank}, {"host", f.host},           {"cpus", f.cpus},         {"numa_nodes", f.numa_nodes},
                          {"gpu", f.gpu},   {"gpu_number", f.gpu_number}, {"gpu_numa", f.gpu_numa}, {"versions", f.versions}, {"warnings", f.warnings}}
        .dump();
}

RankFacts rank_facts_from_text(const std::string& text) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    check(json.is_object(), "a rank's facts are not JSON");
    RankFacts f;
    json.at("rank").get_to(f.rank);
    json.at("local_rank").get_to(f.local_rank);
    json.at("host").get_to(f.host);
    json.at("cpus").get_to(f.cpus);
    json.at("numa_nodes").get_to(f.numa_nodes);
    json.at("gpu").get_to(f.gpu);
    json.at("gpu_number").get_to(f.gpu_number);
    json.at("gpu_numa").get_to(f.gpu_numa);
    json.at("versions").get_to(f.versions);
    json.at("warnings").get_to(f.warnings);
    return f;
}

Findings rank_findings(std::span<const RankFacts> ranks) {
    Findings f;
    for (const RankFacts& rank : ranks) {
        std::string text = fmt::format("{}, cores {}, NUMA node {}", rank.host, numbers(rank.cpus), numbers(rank.numa_nodes));
        if (!rank.gpu.empty()) text += fmt::format(", GPU {} (PCI {}{})", rank.gpu_number, rank.gpu, rank.gpu_numa >= 0 ? fmt::format(", NUMA node {}", rank.gpu_numa) : "");
        f.facts.emplace_back(fmt::format("rank {}", rank.rank), std::move(text));
        add_binding(f, rank);
        for (const std::string& warning : rank.warnings) f.warnings.push_back(fmt::format("{}: {}", rank.host, warning));
    }
    add_sharing(f, ranks);
    add_versions(f, ranks);
    return f;
}

}  // namespace zerosim::cli
