// Files as in the kernel's Documentation/ABI: stable/sysfs-class-infiniband, testing/sysfs-class-net, testing/sysfs-bus-pci,
// stable/sysfs-devices-node.
#include "cli/doctor/system_files.hpp"

#include "base/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <optional>

namespace zerosim::cli {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    return line;
}

std::optional<std::int64_t> number_in(const fs::path& path) { return parse_integer(first_line(path)); }

std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> all;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) all.push_back(entry.path());
    std::ranges::sort(all);
    return all;
}

bool is_pci(std::string_view name) { return name.size() >= 12 && name[name.size() - 8] == ':' && name[name.size() - 5] == ':' && name[name.size() - 2] == '.'; }

/// The PCI address behind a class device; a virtual function's or a sub-device's is the nearest PCI device above.
std::string pci_behind(const fs::path& device) {
    std::error_code error;
    for (fs::path path = fs::canonical(device, error); !error && path.has_relative_path(); path = path.parent_path())
        if (is_pci(path.filename().string())) return path.filename().string();
    return {};
}

NetworkCard rdma_card(const fs::path& folder) {
    NetworkCard card;
    card.name = folder.filename().string();
    card.pci = pci_behind(folder / "device");
    card.numa_node = static_cast<int>(number_in(folder / "device/numa_node").value_or(-1));
    for (const fs::path& port : entries(folder / "ports")) {
        const bool up = first_line(port / "state").starts_with("4:");          // "4: ACTIVE"
        if (card.up && !up) continue;
        card.up = up;
        card.kind = first_line(port / "link_layer") == "Ethernet" ? "RoCE" : "InfiniBand";
        const std::string rate = first_line(port / "rate");                    // "400 Gb/sec (4X NDR)"
        if (const auto gigabits = parse_real(rate.substr(0, rate.find(' ')))) card.gigabits = *gigabits;
    }
    return card;
}

NetworkCard interface(const fs::path& folder) {
    NetworkCard card{folder.filename().string(), "Ethernet", pci_behind(folder / "device"), -1, 0, first_line(folder / "operstate") == "up"};
    card.numa_node = static_cast<int>(number_in(folder / "device/numa_node").value_or(-1));
    if (const auto megabits = number_in(folder / "speed"); megabits && *megabits > 0) card.gigabits = static_cast<double>(*megabits) / 1000;
    return card;
}

}  // namespace

std::string_view name(Nearness nearness) {
    switch (nearness) {
        case Nearness::same_switch: return "PCIe switch";
        case Nearness::same_root: return "host bridge";
        case Nearness::same_numa: return "same NUMA node";
        case Nearness::other_numa: return "other NUMA node";
        case Nearness::unknown: break;
    }
    return "unknown";
}

std::vector<int> cpu_list(std::string_view text) {
    std::vector<int> cpus;
    while (!text.empty()) {
        const auto comma = text.find(',');
        const std::string_view part = text.substr(0, comma);
        const auto dash = part.find('-');
        const auto from = parse_integer(part.substr(0, dash)), to = dash == std::string_view::npos ? from : parse_integer(part.substr(dash + 1));
        if (from && to && *to < 1 << 20)
            for (std::int64_t cpu = *from; cpu <= *to; ++cpu) cpus.push_back(static_cast<int>(cpu));
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
    }
    return cpus;
}

std::string cpu_text(const std::vector<int>& cpus) {
    std::string text;
    for (std::size_t i = 0; i < cpus.size();) {
        std::size_t end = i;
        while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1) ++end;
        text += fmt::format("{}{}", text.empty() ? "" : ",", cpus[i]);
        if (end > i) text += fmt::format("-{}", cpus[end]);
        i = end + 1;
    }
    return text;
}

std::vector<NumaNode> SystemFiles::numa_nodes() const {
    std::vector<NumaNode> nodes;
    for (const fs::path& folder : entries(root_ / "sys/devices/system/node")) {
        const std::string file = folder.filename().string();
        const auto number = file.starts_with("node") ? parse_integer(file.substr(4)) : std::nullopt;
        if (number) nodes.push_back({static_cast<int>(*number), cpu_list(first_line(folder / "cpulist"))});
    }
    std::ranges::sort(nodes, {}, &NumaNode::number);
    return nodes;
}

std::vector<NetworkCard> SystemFiles::cards() const {
    std::vector<NetworkCard> cards;
    for (const fs::path& folder : entries(root_ / "sys/class/infiniband")) cards.push_back(rdma_card(folder));
    const std::size_t rdma = cards.size();
    std::error_code error;
    for (const fs::path& folder : entries(root_ / "sys/class/net")) {
        if (!fs::exists(folder / "device", error)) continue;                   // loopback, bridges, tunnels
        NetworkCard card = interface(folder);
        const auto same = [&](const NetworkCard& known) { return !card.pci.empty() && known.pci == card.pci; };
        if (std::any_of(cards.begin(), cards.begin() + static_cast<std::ptrdiff_t>(rdma), same)) continue;
        cards.push_back(std::move(card));
    }
    return cards;
}

int SystemFiles::numa_node_of(const std::string& pci) const {
    return pci.empty() ? -1 : static_cast<int>(number_in(root_ / "sys/bus/pci/devices" / pci / "numa_node").value_or(-1));
}

/// "pci0000:17", then the bridges above the device.
std::vector<std::string> SystemFiles::bridges_of(const std::string& pci) const {
    std::error_code error;
    const fs::path device = fs::canonical(root_ / "sys/bus/pci/devices" / pci, error);
    std::vector<std::string> names;
    if (error) return names;
    for (const fs::path& part : device.parent_path())
        if (part.string().starts_with("pci") || is_pci(part.string())) names.push_back(part.string());
    return names;
}

Nearness SystemFiles::nearness(const std::string& pci, const std::string& other) const {
    if (pci.empty() || other.empty()) return Nearness::unknown;
    const auto mine = bridges_of(pci), theirs = bridges_of(other);
    std::size_t common = 0;
    while (common < std::min(mine.size(), theirs.size()) && mine[common] == theirs[common]) ++common;
    // The root, and the root port that both hang on: behind it there is a switch.
    if (common > 1) return Nearness::same_switch;
    if (common == 1) return Nearness::same_root;
    const int node = numa_node_of(pci), far = numa_node_of(other);
    if (node < 0 || far < 0) return Nearness::unknown;
    return node == far ? Nearness::same_numa : Nearness::other_numa;
}

}  // namespace zerosim::cli
