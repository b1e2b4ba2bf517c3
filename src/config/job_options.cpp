#include "config/job_options.hpp"

#include "base/nearest.hpp"
#include "base/rng.hpp"
#include "base/units.hpp"
#include "cluster/nvlinks.hpp"
#include "config/option_rows.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

namespace zerosim::config {
namespace {

/// Parts between separators, empty ones too: "nic:1:" has three, so that what was left out is missed. None of an empty text.
std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
        if (text.empty()) parts.emplace_back();
    }
    return parts;
}

/// "17" or "400-407", inside [0, count).
std::optional<std::pair<std::int64_t, std::int64_t>> range_of(std::string_view text, std::int64_t count) {
    const std::size_t dash = text.find('-');
    const auto first = parse_integer(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_integer(text.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= count) return std::nullopt;
    return std::pair{*first, *last};
}

std::vector<cluster::SlowRanks> slow_ranks_of(const Values& values, std::int64_t ranks) {
    constexpr const char* key = "variation.slow-ranks";
    std::vector<cluster::SlowRanks> result;
    for (const std::string& item : split(values.text(key), ',')) {
        const std::vector<std::string> parts = split(item, ':');
        const auto range = parts.empty() ? std::nullopt : range_of(parts[0], ranks);
        const double factor = parts.size() == 2 ? parse_real(parts[1]).value_or(0) : 0.0;
        if (!range || factor <= 0 || factor > 1e6)
            values.refuse(key, fmt::format("has '{}': use RANK:FACTOR or FIRST-LAST:FACTOR with ranks of 0 to {} and a factor above 0, such as 3:1.3,8-15:1.1", item, ranks - 1));
        const auto [first, last] = range.value_or(std::pair<std::int64_t, std::int64_t>{});
        result.push_back({first, last, factor});
    }
    return result;
}

constexpr const char* kFailedLinks = "variation.failed-links";

[[noreturn]] void refuse_link(const Values& values, const char* key, std::string_view item, std::string_view kind, bool slow, std::int64_t count) {
    const char* fraction = slow ? ":FRACTION" : "";
    values.refuse(key, fmt::format("has '{0}': use {1}:N{2}, {1}:FIRST-LAST{2}, {1}:random{2} or {1}:random*COUNT{2} (drawn from variation.seed) with N of 0 to {3} "
                                   "and COUNT of 1 to {4}{5}", item, kind, fraction, count - 1, count, slow ? ", and the fraction of its bandwidth that is left, above 0 and up to 1" : ""));
}

/// What is left of a link: 0 of a failed one, which names no fraction; none where the words are too few, too many or no fraction.
std::optional<double> fraction_left(const std::vector<std::string>& parts, bool slow) {
    if (!slow) return parts.size() == 2 ? std::optional(0.0) : std::nullopt;
    const auto fraction = parts.size() == 3 ? parse_real(parts[2]) : std::nullopt;
    return fraction && *fraction > 0 && *fraction <= 1 ? fraction : std::nullopt;
}

/// `brick:RANKS`: one NVLink of a device is down, each time that it is named.
cluster::LinkFault brick(const Values& values, std::string_view item, std::string_view ranks_text, const cluster::Cluster& cluster, std::int64_t ranks) {
    const auto range = range_of(ranks_text, ranks);
    if (!range) refuse_link(values, kFailedLinks, item, "brick", false, ranks);
    const std::int64_t links = cluster::links_of_device(cluster);
    if (links < 2)
        values.refuse(kFailedLinks, fmt::format("has '{}', but cluster '{}' does not tell how many NVLinks a device has (collective.tuning, node.wiring); "
                                                "variation.slow-links nvlink:RANK:FRACTION says what is left", item, cluster.name));
    return {cluster::LinkTier::nvlink, range->first, range->second, static_cast<double>(links - 1) / static_cast<double>(links)};
}

/// `pair:RANK-RANK`: the link between two devices of a node is down.
cluster::FailedPair failed_pair(const Values& values, std::string_view item, std::string_view pair_text, const cluster::Cluster& cluster, std::int64_t ranks) {
    const auto pair = range_of(pair_text, ranks);
    if (!pair || pair->first == pair->second || pair->first / cluster.devices_per_node != pair->second / cluster.devices_per_node)
        values.refuse(kFailedLinks, fmt::format("has '{}': use pair:RANK-RANK with two ranks of 0 to {}, the lower first, on one node of {}", item, ranks - 1, cluster.devices_per_node));
    if (!cluster::has_pair_links(cluster))
        values.refuse(kFailedLinks, fmt::format("has '{}', but the devices of cluster '{}' reach each other over a switch: no link belongs to a pair. "
                                                "brick:RANK takes one NVLink from a device", item, cluster.name));
    return {pair->first, pair->second};
}

/// A fault of a link that no collective takes would change nothing.
void require_nvlink(const Values& values, const char* key, std::string_view item, const cluster::Cluster& cluster) {
    if (cluster.fabric.wiring != cluster::Wiring::pcie && !cluster.fabric.devices_apart) return;
    if (const std::string& transport = values.text("transport"); transport != "auto")
        values.refuse(key, fmt::format("has '{}', but with transport {} no collective takes NVLink", item, transport));
    values.refuse(key, fmt::format("has '{}', but the devices of cluster '{}' have no NVLink", item, cluster.name));
}

std::vector<std::string> link_kinds(bool slow) {
    std::vector<std::string> kinds{"nic", "nvlink", "node"};
    if (!slow) kinds.insert(kinds.end(), {"brick", "pair"});
    return kinds;
}

/// `KIND:random` and `KIND:random*N` stand for N items of one rank or node each, drawn from variation.seed; none twice.
std::vector<std::string> with_draws(const Values& values, const char* key, const cluster::Cluster& cluster, std::int64_t ranks, std::uint64_t seed,
                                    std::vector<std::string>& notes) {
    constexpr std::string_view kRandom = "random";
    constexpr std::int64_t kNamed = 16; // in a note
    std::vector<std::string> items;
    const bool slow = key != std::string_view(kFailedLinks);
    const std::vector<std::string> kinds = link_kinds(slow);
    std::uint64_t draws = slow ? 0 : std::uint64_t{1} << 32; // other ones than of slow links
    for (const std::string& item : split(values.text(key), ',')) {
        std::vector<std::string> parts = split(item, ':');
        if (parts.size() < 2 || !std::string_view(parts[1]).starts_with(kRandom) || parts[0] == "pair" || std::ranges::find(kinds, parts[0]) == kinds.end()) {
            items.push_back(item); // as it is, or to be refused in the user's words
            continue;
        }
        const std::int64_t count = parts[0] == "node" ? cluster::nodes(cluster, ranks) : ranks;
        const std::string_view times = std::string_view(parts[1]).substr(kRandom.size());
        const auto wanted = times.empty() ? std::optional<std::int64_t>(1) : times.front() == '*' ? parse_integer(times.substr(1)) : std::nullopt;
        if (!wanted || *wanted < 1 || *wanted > count || !fraction_left(parts, slow)) refuse_link(values, key, item, parts[0], slow, count);
        std::vector<std::int64_t> left(static_cast<std::size_t>(count));
        std::iota(left.begin(), left.end(), 0);
        std::string drawn;
        for (std::int64_t i = 0; i < *wanted; ++i) {
            const auto at = static_cast<std::ptrdiff_t>(hash64(seed, draws++) % left.size());
            parts[1] = std::to_string(left[static_cast<std::size_t>(at)]);
            left.erase(left.begin() + at);
            items.push_back(fmt::format("{}", fmt::join(parts, ":")));
            if (i < kNamed) drawn += (i > 0 ? ", " : "") + parts[1];
        }
        notes.push_back(fmt::format("{}: {} drew {}{} of {} (variation.seed {})", key, item, drawn,
                                    *wanted > kNamed ? fmt::format(" and {} more", *wanted - kNamed) : "", count, seed));
    }
    return items;
}

/// nic:RANKS, nvlink:RANKS or node:NODES (all cards of a node), with :FRACTION where `slow`; brick:RANKS and pair:RANK-RANK where not.
void add_links(const Values& values, const char* key, bool slow, const cluster::Cluster& cluster, std::int64_t ranks, cluster::Variation& variation,
               std::vector<std::string>& notes) {
    std::vector<cluster::LinkFault>& links = variation.links;
    const std::vector<std::string> kinds = link_kinds(slow);
    for (const std::string& item : with_draws(values, key, cluster, ranks, variation.seed, notes)) {
        const std::vector<std::string> parts = split(item, ':');
        const std::string kind = parts.empty() ? "" : parts[0];
        if (std::ranges::find(kinds, kind) == kinds.end())
            values.refuse(key, fmt::format("has '{}': its first word is one of {}{}", item, fmt::join(kinds, ", "), did_you_mean(kind, kinds)));
        if (kind != "nic" && kind != "node") require_nvlink(values, key, item, cluster);
        if (kind == "brick" || kind == "pair") {
            const std::string_view named = parts.size() == 2 ? std::string_view(parts[1]) : std::string_view();
            if (kind == "brick") links.push_back(brick(values, item, named, cluster, ranks));
            else variation.pairs.push_back(failed_pair(values, item, named, cluster, ranks));
            continue;
        }
        const std::int64_t count = kind == "node" ? cluster::nodes(cluster, ranks) : ranks;
        const auto range = parts.size() > 1 ? range_of(parts[1], count) : std::nullopt;
        const auto fraction = fraction_left(parts, slow);
        if (!range || !fraction) refuse_link(values, key, item, kind, slow, count);
        const auto [first, last] = range.value_or(std::pair<std::int64_t, std::int64_t>{});
        const double left = fraction.value_or(0);
        if (kind == "node")
            links.push_back({cluster::LinkTier::network, first * cluster.devices_per_node, std::min((last + 1) * cluster.devices_per_node, ranks) - 1, left});
        else
            links.push_back({kind == "nic" ? cluster::LinkTier::network : cluster::LinkTier::nvlink, first, last, left});
    }
}

} // namespace

void job_options(Table& t) {
    t.group("Variation: ranks that are not alike", bits({Command::simulate, Command::compare, Command::show, Command::sweep}));
    t.real("variation.jitter", "0", 0, 10, "relative standard deviation of a kernel's duration, drawn for each rank, step and op");
    t.real("variation.device-spread", "0", 0, 10, "relative standard deviation of whole devices' durations, drawn once a rank");
    t.integer("variation.seed", "0", 0, 9e18, "of these draws");
    t.text("variation.slow-ranks", "", "RANK:FACTOR or FIRST-LAST:FACTOR, comma-separated: kernels take FACTOR times as long").default_text = "none";
    t.text("variation.slow-links", "", "nic:RANK:FRACTION, nvlink:RANK:FRACTION or node:NODE:FRACTION of the bandwidth, comma-separated; random or random*N for RANK: drawn").default_text = "none";
    t.text("variation.failed-links", "", "nic:RANK, nvlink:RANK, node:NODE, brick:RANK (one NVLink of it), pair:RANK-RANK (their own link), comma-separated; random or random*N for RANK: drawn").default_text = "none";

    t.group("Reliability of a long job", bits({Command::simulate, Command::compare, Command::show, Command::sweep}));
    t.real("reliability.device-mtbf-hours", "", 1e-3, 1e12, "running hours of one device to a failure that ends the job").default_text = "50676, as in Llama 3's training";
    t.real("reliability.storage-gigabytes-per-second-per-node", "", 1e-6, 1e6, "what a node writes to, and reads from, the checkpoint store").default_text = "0.977, as in Llama 3's training";
    t.real("reliability.checkpoint-interval-seconds", "", 1e-3, 1e12, "between checkpoints").default_text = "the optimum (Daly 2006)";
    t.real("reliability.restart-seconds", "600", 0, 1e9, "to find a failure and start anew, without reading the checkpoint");
    t.integer("reliability.spare-nodes", "", 0, 1e7, "that take a failed node's place").default_text = "always enough";
    t.real("reliability.repair-hours", "24", 1e-3, 1e6, "until a failed node is back, where spare nodes are counted");
}

cluster::Variation variation_of(const Values& values, const cluster::Cluster& cluster, std::int64_t ranks, std::vector<std::string>& notes) {
    cluster::Variation variation;
    variation.jitter = values.real("variation.jitter");
    variation.device_spread = values.real("variation.device-spread");
    variation.seed = static_cast<std::uint64_t>(values.integer("variation.seed"));
    variation.slow_ranks = slow_ranks_of(values, ranks);
    add_links(values, "variation.slow-links", true, cluster, ranks, variation, notes);
    add_links(values, kFailedLinks, false, cluster, ranks, variation, notes);
    return variation;
}

cluster::Reliability reliability_of(const Values& values) {
    cluster::Reliability reliability;
    const auto given = [&](const char* key) { return !values.text(key).empty(); };
    if (given("reliability.device-mtbf-hours")) reliability.device_mtbf_hours = values.real("reliability.device-mtbf-hours");
    if (given("reliability.storage-gigabytes-per-second-per-node"))
        reliability.storage_bytes_per_second_per_node = 1e9 * values.real("reliability.storage-gigabytes-per-second-per-node");
    if (given("reliability.checkpoint-interval-seconds")) reliability.interval_seconds = values.real("reliability.checkpoint-interval-seconds");
    reliability.restart_seconds = values.real("reliability.restart-seconds");
    if (given("reliability.spare-nodes")) reliability.spare_nodes = values.integer("reliability.spare-nodes");
    reliability.repair_hours = values.real("reliability.repair-hours");
    return reliability;
}

} // namespace zerosim::config
