#include "config/cluster_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "cluster/architecture.hpp"
#include "cluster/generation.hpp"
#include "config/host_kernel_keys.hpp"
#include "config/ini.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace zerosim::config {
namespace {

namespace fs = std::filesystem;
using cluster::Cluster;

/// A number of the file: value = field / unit. Networks are given per node, in Gbit/s, and kept per device.
struct Key {
    const char* name;
    double unit;
    double (*get)(const Cluster&);
    void (*set)(Cluster&, double);
    bool required_of_gpu = false, required_of_cpu = false;
};

constexpr double kMicro = 1e-6, kGiga = 1e9, kTera = 1e12;
constexpr double kKiB = 1024.0, kMiB = 1024.0 * kKiB, kGiB = 1024.0 * kMiB;

#define ZEROSIM_KEY(field)                                         \
    [](const Cluster& c) { return static_cast<double>(c.field); }, \
        [](Cluster& c, double v) { c.field = static_cast<decltype(c.field)>(v); }

// `node.devices` before the network, which is shared by them.
constexpr Key kKeys[] = {
    {"device.memory-gib", kGiB, ZEROSIM_KEY(device.memory_bytes), true, false},
    {"device.memory-gigabytes-per-second", kGiga, ZEROSIM_KEY(device.memory_bytes_per_second), true, true},
    {"device.memory-efficiency", 1, ZEROSIM_KEY(device.memory_efficiency)},
    {"device.fp32-teraflops", kTera, ZEROSIM_KEY(device.fp32_flops), true, true},
    {"device.bf16-teraflops", kTera, ZEROSIM_KEY(device.bf16_flops), true, true},
    {"device.fp16-teraflops", kTera, ZEROSIM_KEY(device.fp16_flops), true, true},
    {"device.fp8-teraflops", kTera, ZEROSIM_KEY(device.fp8_flops)},
    {"device.multiprocessors", 1, ZEROSIM_KEY(device.gemm.multiprocessors)},
    {"device.vector-teraflops", kTera, ZEROSIM_KEY(device.vector_flops)},
    {"device.gemm-efficiency", 1, ZEROSIM_KEY(device.gemm_efficiency)},
    {"device.attention-efficiency", 1, ZEROSIM_KEY(device.attention_efficiency)},
    {"device.attention-backward-efficiency", 1, ZEROSIM_KEY(device.attention.backward_efficiency)},
    {"device.kernel-launch-microseconds", kMicro, ZEROSIM_KEY(device.kernel_launch_seconds)},
    {"device.host-issue-microseconds", kMicro, ZEROSIM_KEY(device.host_issue_seconds)},
    {"device.cache-kib", kKiB, ZEROSIM_KEY(device.host_kernels.cache_bytes)},
    {"device.cached-gigabytes-per-second", kGiga, ZEROSIM_KEY(device.host_kernels.cached_bytes_per_second)},
    {"device.context-mib", kMiB, ZEROSIM_KEY(device.context_bytes)},
    {"node.devices", 1, [](const Cluster& c) { return static_cast<double>(c.devices_per_node); },
     [](Cluster& c, double v) { c = cluster::with_devices_per_node(c, static_cast<std::int64_t>(v)); }, true, true},
    {"node.cores", 1, ZEROSIM_KEY(cores), false, true},
    {"node.link-gigabytes-per-second", kGiga, ZEROSIM_KEY(intra_node.bytes_per_second), true, true},
    {"node.link-efficiency", 1, ZEROSIM_KEY(intra_node.efficiency)},
    {"node.link-latency-microseconds", kMicro, ZEROSIM_KEY(intra_node.latency_seconds)},
    {"node.eager-bytes", 1, ZEROSIM_KEY(transport.eager_bytes)},
    {"node.rendezvous-microseconds", kMicro, ZEROSIM_KEY(transport.rendezvous_seconds)},
    {"node.cache-mib", kMiB, ZEROSIM_KEY(transport.cache_bytes)},
    {"node.uncached-link-gigabytes-per-second", kGiga, ZEROSIM_KEY(transport.uncached_bytes_per_second)},
    {"node.one-way-link-gigabytes-per-second", kGiga, ZEROSIM_KEY(transport.one_way_bytes_per_second)},
    {"node.one-way-latency-share", 1, ZEROSIM_KEY(transport.one_way_latency_share)},
    {"node.shared-latency-microseconds", kMicro, ZEROSIM_KEY(transport.shared_latency_seconds)},
    {"node.shared-link-gigabytes-per-second", kGiga, ZEROSIM_KEY(transport.shared_bytes_per_second)},
    {"node.cold-latency-microseconds", kMicro, ZEROSIM_KEY(transport.cold_latency_seconds)},
    {"node.cold-link-gigabytes-per-second", kGiga, ZEROSIM_KEY(transport.cold_bytes_per_second)},
    {"node.reference-microseconds", kMicro, ZEROSIM_KEY(transport.reference_seconds)},
    {"node.reference-ranks", 1, ZEROSIM_KEY(transport.reference_ranks)},
    {"node.island-devices", 1, ZEROSIM_KEY(fabric.island_devices)},
    {"node.bridge-gigabytes-per-second", kGiga, ZEROSIM_KEY(fabric.bridge_bytes_per_second)},
    {"node.bridges", 1, ZEROSIM_KEY(fabric.bridges)},
    {"node.host-link-gigabytes-per-second", kGiga, ZEROSIM_KEY(host_link.bytes_per_second)},
    {"node.host-link-latency-microseconds", kMicro, ZEROSIM_KEY(host_link.latency_seconds)},
    {"node.gpus-per-pcie-switch", 1, ZEROSIM_KEY(host.devices_per_pcie_switch)},
    {"node.pcie-uplink-gigabytes-per-second", kGiga, ZEROSIM_KEY(host.pcie_uplink_bytes_per_second)},
    {"node.host-memory-gigabytes-per-second", kGiga, ZEROSIM_KEY(host.memory_bytes_per_second)},
    {"node.nvme-read-gigabytes-per-second", kGiga, ZEROSIM_KEY(host.nvme_read_bytes_per_second)},
    {"node.nvme-write-gigabytes-per-second", kGiga, ZEROSIM_KEY(host.nvme_write_bytes_per_second)},
    {"node.nvme-latency-microseconds", kMicro, ZEROSIM_KEY(host.nvme_latency_seconds)},
    {"network.gigabits-per-second", 1,
     [](const Cluster& c) { return c.network.bytes_per_second * static_cast<double>(c.devices_per_node) * 8.0 / kGiga; },
     [](Cluster& c, double v) { c = cluster::with_network_gigabits_per_node(c, v); }},
    {"network.cards", 1, ZEROSIM_KEY(fabric.cards)},
    {"network.leaf-nodes", 1, ZEROSIM_KEY(fabric.leaf_nodes)},
    {"network.oversubscription", 1, [](const Cluster& c) { return c.fabric.oversubscription == 1 ? 0.0 : c.fabric.oversubscription; },
     [](Cluster& c, double v) { c.fabric.oversubscription = v; }},
    {"network.efficiency", 1, ZEROSIM_KEY(network.efficiency)},
    {"network.latency-microseconds", kMicro, ZEROSIM_KEY(network.latency_seconds)},
    {"collective.launch-microseconds", kMicro, ZEROSIM_KEY(collective_launch_seconds)},
    {"collective.compute-slowdown", 1, ZEROSIM_KEY(compute_slowdown)},
    {"collective.reduction-gigabytes-per-second", kGiga, ZEROSIM_KEY(reduction_bytes_per_second)},
    {"collective.bf16-reduction-gigabytes-per-second", kGiga, ZEROSIM_KEY(transport.narrow_reduction_bytes_per_second)},
};
#undef ZEROSIM_KEY

/// A number >= 0; counts whole, efficiencies at most 1.
double number(const IniFile& file, const IniEntry& entry) {
    double value = 0;
    const char* end = entry.value.data() + entry.value.size();
    const auto [stop, error] = std::from_chars(entry.value.data(), end, value);
    if (error != std::errc() || stop != end || !std::isfinite(value) || value < 0)
        throw ConfigError(fmt::format("{}: {} = '{}' is not a number of at least 0", file.place(entry), entry.key, entry.value));
    if (entry.key == "network.oversubscription" && value < 1)
        throw ConfigError(fmt::format("{}: {} = {} is below 1, which is no oversubscription", file.place(entry), entry.key, entry.value));
    if (entry.key.ends_with("efficiency") && (value > 1 || value == 0))
        throw ConfigError(
            fmt::format("{}: {} = {} is not a fraction above 0 and up to 1", file.place(entry), entry.key, entry.value));
    constexpr std::array kCounts{"node.devices", "node.cores", "node.reference-ranks", "node.island-devices", "node.bridges", "node.gpus-per-pcie-switch",
                                 "device.multiprocessors", "network.cards", "network.leaf-nodes"};
    const bool count = std::find(kCounts.begin(), kCounts.end(), entry.key) != kCounts.end();
    if (count && (value != std::floor(value) || value < 1 || value > 1e6))
        throw ConfigError(
            fmt::format("{}: {} = {} is not a whole number from 1 to 1000000", file.place(entry), entry.key, entry.value));
    return value;
}

bool apply_text_key(Cluster& result, const IniFile& file, const IniEntry& entry) {
    const auto one_of = [&](const char* yes, const char* no) {
        if (entry.value != yes && entry.value != no)
            throw ConfigError(fmt::format("{}: {} = '{}'; use {} or {}", file.place(entry), entry.key, entry.value, no, yes));
        return entry.value == yes;
    };
    const auto placed = [&](auto&& read) {
        try {
            return read(entry.value);
        } catch (const ConfigError& error) {
            throw ConfigError(fmt::format("{}: {}", file.place(entry), error.what()));
        }
    };
    if (entry.key == "device.name")
        result.device.name = entry.value;
    else if (entry.key == "device.generation")
        placed([&](std::string_view name) { cluster::set_generation(result.device, name); });
    else if (entry.key == "device.architecture")
        placed([&](std::string_view name) { cluster::set_architecture(result.device, name); });
    else if (entry.key == "calibration.software")
        result.published_software = placed([](std::string_view name) { return cluster::software(name).name; });
    else if (entry.key == "cluster.base")
        return true; // load_file
    else if (entry.key == "node.wiring")
        result.fabric.wiring = placed([](std::string_view name) { return cluster::wiring(name); });
    else if (entry.key == "collective.tuning")
        result.fabric.tuning = placed([](std::string_view name) { return cluster::collective_tuning(name); });
    else if (entry.key == "network.wiring")
        result.fabric.network = placed([](std::string_view name) { return cluster::network_wiring(name); });
    else if (entry.key == "collective.algorithm")
        result.transport.algorithm = placed([](std::string_view name) { return cluster::host_algorithm(name); });
    else if (entry.key == "network.ll128")
        result.fabric.network_ll128 = one_of("true", "false");
    else if (entry.key == "collective.nccl-algorithms")
        result.fabric.algorithms = placed([](std::string_view list) { return cluster::allowed_algorithms(list); });
    else if (entry.key == "collective.nccl-protocols")
        result.fabric.protocols = placed([](std::string_view list) { return cluster::allowed_protocols(list); });
    else if (entry.key == "device.kind")
        result.device.is_cpu = one_of("cpu", "gpu");
    else if (entry.key == "calibration.measured")
        result.measured = one_of("true", "false");
    else
        return false;
    return true;
}

std::vector<std::string> key_names() {
    std::vector<std::string> names = {"device.name", "device.kind", "device.generation", "device.architecture", "calibration.software", "calibration.measured",
                                      "node.wiring", "network.wiring", "collective.tuning", "collective.algorithm", "network.ll128", "collective.nccl-algorithms",
                                      "collective.nccl-protocols", "cluster.base"};
    for (const Key& key : kKeys) names.emplace_back(key.name);
    for (std::string& key : host_kernel_keys()) names.push_back(std::move(key));
    return names;
}

void require_known(const IniFile& file) {
    const std::vector<std::string> names = key_names();
    for (const IniEntry& entry : file.entries)
        if (std::find(names.begin(), names.end(), entry.key) == names.end())
            throw ConfigError(fmt::format("{}: unknown key '{}' in a cluster file{}", file.place(entry), entry.key,
                                          did_you_mean(entry.key, names)));
}

/// The entries of a file over what its base, if it has one, already said.
Cluster parse(const IniFile& file, Cluster result = {}) {
    require_known(file);
    result.name = fs::path(file.name).stem().string();
    for (const IniEntry& entry : file.entries)
        if (!apply_text_key(result, file, entry) && entry.key.starts_with("kernel.")) set_host_kernel(result.device.host_kernels, entry.key, number(file, entry));
    for (const Key& key : kKeys) {
        const auto entry =
            std::find_if(file.entries.begin(), file.entries.end(), [&](const IniEntry& e) { return e.key == key.name; });
        if (entry != file.entries.end()) {
            constexpr double kMost = 9e18; // of 63 bits: sizes are kept in whole bytes
            const double value = number(file, *entry) * key.unit;
            if (value > kMost) throw ConfigError(fmt::format("{}: {} = {} is out of range (at most {:g})", file.place(*entry), entry->key, entry->value, kMost / key.unit));
            key.set(result, value);
        }
        const bool required = result.device.is_cpu ? key.required_of_cpu : key.required_of_gpu;
        if (required && key.get(result) <= 0)
            throw ConfigError(
                fmt::format("{}: a cluster of {}s needs {}, above 0", file.name, result.device.is_cpu ? "cpu" : "gpu", key.name));
    }
    if ((result.transport.reference_seconds > 0) != (result.transport.reference_ranks > 0))
        throw ConfigError(fmt::format("{}: node.reference-microseconds and node.reference-ranks say together what one all-gather took: give both", file.name));
    if ((result.fabric.algorithms | result.fabric.protocols) != 0 && result.fabric.tuning == cluster::CollectiveTuning::none)
        throw ConfigError(fmt::format("{}: collective.nccl-algorithms and -protocols say what NCCL may choose from, but the cluster has no tables of NCCL to choose by (collective.tuning)", file.name));
    return result;
}

/// The keys of a section that are words, where they are not what they are when left out.
std::string words_text(const std::string& section, const Cluster& cluster) {
    const cluster::Fabric& fabric = cluster.fabric;
    const cluster::Fabric plain;
    const cluster::HostTransport usual;
    std::string text;
    const auto add = [&](const char* of, bool given, const char* key, std::string_view value) {
        if (section == of && given) text += fmt::format("{} = {}\n", key, value);
    };
    add("node", fabric.wiring != plain.wiring, "wiring", cluster::name(fabric.wiring));
    add("network", fabric.network != plain.network, "wiring", cluster::name(fabric.network));
    add("network", !fabric.network_ll128, "ll128", "false");
    add("collective", fabric.algorithms != 0, "nccl-algorithms", cluster::algorithm_list(fabric.algorithms));
    add("collective", fabric.protocols != 0, "nccl-protocols", cluster::protocol_list(fabric.protocols));
    add("collective", fabric.tuning != plain.tuning, "tuning", cluster::name(fabric.tuning));
    add("collective", cluster.transport.algorithm != usual.algorithm, "algorithm", cluster::name(cluster.transport.algorithm));
    return text;
}

bool is_path(const std::string& name) { return name.find('/') != std::string::npos || name.ends_with(".cfg"); }

bool is_file(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error);
}

} // namespace

fs::path user_clusters() {
    if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg != nullptr && *xdg != '\0')
        return fs::path(xdg) / "zerosim" / "clusters";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
        return fs::path(home) / ".config" / "zerosim" / "clusters";
    return {};
}

fs::path find_cluster(const std::string& name_or_path, const SearchPaths& paths) {
    if (is_path(name_or_path)) {
        if (is_file(name_or_path)) return name_or_path;
        throw ConfigError(fmt::format("cluster '{}': no such file", name_or_path));
    }
    if (const fs::path own = user_clusters() / (name_or_path + ".cfg"); !user_clusters().empty() && is_file(own)) return own;
    if (const auto shipped = paths.find("clusters", name_or_path)) return *shipped;
    const std::vector<std::string> names = cluster_names(paths);
    throw ConfigError(fmt::format("unknown cluster '{}'{} (zerosim list clusters; or the path of a .cfg file)", name_or_path,
                                  did_you_mean(name_or_path, names)));
}

namespace {

/// `cluster.base` names a file beside this one, or one that --cluster would find.
Cluster load_file(const fs::path& path, const SearchPaths& paths, int depth) {
    const IniFile file = read_ini(path);
    const auto base =
        std::find_if(file.entries.begin(), file.entries.end(), [](const IniEntry& e) { return e.key == "cluster.base"; });
    if (base == file.entries.end()) return parse(file);
    if (depth > 8) throw ConfigError(fmt::format("{}: bases of bases, more than 8 deep: a circle?", file.place(*base)));
    const fs::path beside = path.parent_path() / (base->value + (base->value.ends_with(".cfg") ? "" : ".cfg"));
    const auto found = [&] {
        try {
            return is_file(beside) ? beside : find_cluster(base->value, paths);
        } catch (const ConfigError& error) {
            throw ConfigError(fmt::format("{}: {}", file.place(*base), error.what()));
        }
    };
    return parse(file, load_file(found(), paths, depth + 1));
}

} // namespace

cluster::Cluster load_cluster(const std::string& name_or_path, const SearchPaths& paths) {
    return load_file(find_cluster(name_or_path, paths), paths, 0);
}

std::vector<std::string> cluster_names(const SearchPaths& paths) {
    std::vector<std::string> names = paths.names("clusters");
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(user_clusters(), error))
        if (entry.path().extension() == ".cfg") names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

cluster::Cluster parse_cluster(const std::string& name, const std::string& text) { return parse(parse_ini(name, text)); }

std::string cluster_text(const cluster::Cluster& cluster, const std::string& provenance) {
    std::string text;
    for (std::size_t begin = 0; begin < provenance.size();) {
        const std::size_t end = std::min(provenance.find('\n', begin), provenance.size());
        text += end == begin ? "#\n" : "# " + provenance.substr(begin, end - begin) + "\n";
        begin = end + 1;
    }
    text += fmt::format("\n[calibration]\nmeasured = {}\n\n[device]\nname = {}\nkind = {}\n", cluster.measured ? "true" : "false",
                        cluster.device.name, cluster.device.is_cpu ? "cpu" : "gpu");
    if (!cluster.device.generation.empty()) text += fmt::format("generation = {}\n", cluster.device.generation);
    if (!cluster.device.architecture.empty()) text += fmt::format("architecture = {}\n", cluster.device.architecture);
    for (const std::string section : {"device", "node", "network", "collective"}) {
        std::string lines = words_text(section, cluster);
        for (const Key& key : kKeys) {
            const std::string_view name = key.name;
            const double value = key.get(cluster) / key.unit;
            if (value != 0 && name.starts_with(section + ".")) // zero is every key's meaning when left out
                lines += fmt::format("{} = {:.6g}\n", name.substr(section.size() + 1), value);
        }
        if (!lines.empty()) text += section == "device" ? lines : fmt::format("\n[{}]\n{}", section, lines);
    }
    if (const std::string kernels = host_kernel_text(cluster.device.host_kernels); !kernels.empty()) text += "\n[kernel]\n" + kernels;
    return text;
}

void save_cluster(const fs::path& path, const cluster::Cluster& cluster, const std::string& provenance) {
    std::error_code error;
    if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
    std::ofstream stream(path);
    stream << cluster_text(cluster, provenance);
    stream.flush();
    if (!stream) throw EnvironmentError(fmt::format("{}: cannot be written", path.string()));
}

} // namespace zerosim::config
