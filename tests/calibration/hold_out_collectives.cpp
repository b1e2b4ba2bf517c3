// What the model says of a sweep that it was not calibrated on: hold_out_collectives [rounds [draws]].
// Hides each scored sweep in turn (or, with draws, 30 % of them at random, so many times), fits again all that came from the rest, the
// constants of its group and the links of its cluster (launch, latency, achieved bandwidth), and prints the error of what was hidden. The
// fit begins with the neighbouring generation's constants and other clusters' links of the kind, at the median, and leaves both only for
// sweeps that say otherwise. Links that no other sweep knows keep these.
#include "calibration/collective_fit.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <tuple>

namespace {

using namespace zerosim;
using namespace zerosim::calibration;

/// A cluster's own numbers that a group's sweeps determine, as factors of those in its file.
struct Links {
    double launch = 1, latency = 1, rate = 1;
};

/// Clusters with the same numbers in their files (a cloud's node is its base's) share them.
using Family = std::tuple<double, double, double>;
Family family(const Prepared& p) {
    const auto& link = group(p) == kNetworks ? p.cluster.network : p.cluster.intra_node;
    return {link.latency_seconds, link.achieved_bytes_per_second(), group(p) == kNetworks ? 0.0 : p.cluster.collective_launch_seconds};
}

void apply(Prepared& p, const Links& links, const Prepared& original) {
    const bool network = group(p) == kNetworks;
    auto& link = network ? p.cluster.network : p.cluster.intra_node;
    const auto& before = network ? original.cluster.network : original.cluster.intra_node;
    link.latency_seconds = before.latency_seconds * links.latency;
    if (network) {
        p.topology.achieved_network = original.topology.achieved_network * links.rate;
        return;
    }
    p.cluster.collective_launch_seconds = original.cluster.collective_launch_seconds * links.launch;
    p.topology.achieved_within = original.topology.achieved_within * links.rate;
    p.topology.achieved_links = original.topology.achieved_links * links.rate;
}

/// A cluster's numbers themselves.
struct Numbers {
    double launch = 0, latency = 0, efficiency = 0;
};

const cluster::Link& link_of(const Prepared& p) { return group(p) == kNetworks ? p.cluster.network : p.cluster.intra_node; }
Numbers numbers_of(const Prepared& p) { return {p.cluster.collective_launch_seconds, link_of(p).latency_seconds, link_of(p).efficiency}; }

/// A generation's NVLink, PCIe, a cloud's network (virtual cards with a transport of their own) or one without a cloud between: links whose
/// latencies and efficiencies resemble each other.
std::string kind_of_links(const Prepared& p) {
    if (group(p) != kNetworks) return kGroups[group(p)];
    return p.sweep->cluster.starts_with("aws-") || p.sweep->cluster.starts_with("gcp-") ? "cloud" : "InfiniBand or RoCE";
}

/// What the files of all other clusters with such links say, at the median; where there are none, of all other networks or nodes.
Numbers elsewhere(const Prepared& p, const std::vector<Prepared>& all) {
    std::map<Family, Numbers> alike, any;
    for (const Prepared& other : all) {
        if (family(other) == family(p) || (group(other) == kNetworks) != (group(p) == kNetworks)) continue;
        any[family(other)] = numbers_of(other);
        if (kind_of_links(other) == kind_of_links(p)) alike[family(other)] = numbers_of(other);
    }
    const auto median_of = [&](double Numbers::*number) {
        std::vector<double> values;
        for (const auto& [key, numbers] : alike.empty() ? any : alike) values.push_back(numbers.*number);
        return test::median(values);
    };
    return {median_of(&Numbers::launch), median_of(&Numbers::latency), median_of(&Numbers::efficiency)};
}

/// The factors of a cluster's own numbers that make them `numbers`.
Links factors(const Numbers& numbers, const Prepared& p) {
    const Numbers own = numbers_of(p);
    return {numbers.launch / own.launch, numbers.latency / own.latency, numbers.efficiency / own.efficiency};
}

/// Numbers of one group, fitted to some of its sweeps from what is known without them: the constants of another generation and the links
/// of other clusters. What the sweeps do not tell stays so. Constants that nothing else knows begin 1.3 times off.
class Fit {
public:
    Fit(std::size_t group, const std::vector<Prepared>& kept, const std::vector<Prepared>& all)
        : group_(group), originals_(kept), tried_(kept), all_(all) {
        constants_ = cost::nccl_measured(kept.front().topology);
        const auto& which = constants_of(group);
        NcclMeasured thought = belief_of(group) != nullptr ? *belief_of(group) : NcclMeasured{};
        for (std::size_t i = 0; i < which.size(); ++i)
            if (belief_of(group) != nullptr && which[i].of(thought) > 0 && which[i].of(constants_) > 0) which[i].of(constants_) = which[i].of(thought);
            else which[i].of(constants_) *= i % 2 == 0 ? 1.3 : 1 / 1.3;
        for (const Prepared& p : kept) thought_[family(p)] = links_[family(p)] = factors(elsewhere(p, all), p);
    }
    void run(int rounds) {
        update();
        std::vector<std::function<void(double)>> numbers;
        for (const Constant& constant : constants_of(group_)) numbers.emplace_back([this, &constant](double f) { constant.of(constants_) *= f; });
        for (auto& [key, links] : links_)
            for (double Links::*number : {&Links::launch, &Links::latency, &Links::rate})
                numbers.emplace_back([this, &links, number](double f) { links.*number *= f, update(); });
        descend(numbers, [this] { return loss(tried_, constants_) + kBelief / static_cast<double>(tried_.size()) * disbelief(); }, rounds);
    }
    /// Of a sweep that was not fitted; its links known from other sweeps, or not.
    [[nodiscard]] std::pair<Error, bool> error_of(const Prepared& hidden) const {
        Prepared p = hidden;
        const auto known = links_.find(family(hidden));
        apply(p, known != links_.end() ? known->second : factors(elsewhere(hidden, all_), hidden), hidden);
        return {error(p, constants_), known != links_.end()};
    }

private:
    static constexpr double kBelief = 0.05; // what other clusters say of a cluster's links counts as this part of a sweep
    std::size_t group_;
    std::vector<Prepared> originals_, tried_;
    const std::vector<Prepared>& all_;
    NcclMeasured constants_;
    std::map<Family, Links> links_, thought_;
    void update() {
        for (std::size_t i = 0; i < tried_.size(); ++i) apply(tried_[i], links_.at(family(originals_[i])), originals_[i]);
    }
    [[nodiscard]] double disbelief() const {
        const auto squared = [](double now, double thought) { return std::pow(std::log(now / thought), 2); };
        double sum = 0;
        for (const auto& [key, links] : links_) {
            const Links& thought = thought_.at(key);
            sum += squared(links.launch, thought.launch) + squared(links.latency, thought.latency) + squared(links.rate, thought.rate);
        }
        return sum;
    }
};

struct Tally {
    int hidden = 0, within = 0;
    std::vector<double> all, large;
    void add(const Error& e) {
        ++hidden;
        within += e.within();
        all.push_back(e.all);
        large.push_back(e.large);
    }
    void print(const char* what) const {
        if (hidden > 0)
            fmt::print("{}: {} of {} within 15 % and 8 % ({:.1f} %); median {:.1f} % over all sizes, {:.1f} % from 16 MiB up\n", what, within, hidden,
                       100.0 * within / hidden, 100 * test::median(all), 100 * test::median(large));
    }
};

/// Hides the sweeps of a group that `hides` names and adds their errors.
template <class Hides>
void hide(std::size_t g, const std::vector<Prepared>& sweeps, const Hides& hides, const std::vector<Prepared>& all, int rounds, bool print, Tally& known, Tally& unknown) {
    std::vector<Prepared> kept, hidden;
    for (std::size_t i = 0; i < sweeps.size(); ++i) (hides(i) ? hidden : kept).push_back(sweeps[i]);
    if (kept.empty() || hidden.empty()) return;
    Fit fit(g, kept, all);
    fit.run(rounds);
    for (const Prepared& p : hidden) {
        const auto [e, links_known] = fit.error_of(p);
        (links_known ? known : unknown).add(e);
        if (!print) continue;
        const Error shipped = error(p, cost::nccl_measured(p.topology));
        fmt::print("{:11} {:20} {:46} {:4} shipped {:5.1f} % {:5.1f} %  hidden {:5.1f} % {:5.1f} %{}{}\n", kGroups[g], p.sweep->cluster, p.sweep->name,
                   p.sweep->ranks, 100 * shipped.all, 100 * shipped.large, 100 * e.all, 100 * e.large, links_known ? "" : "  links unknown",
                   e.within() ? "" : "  <-- missed");
    }
}

} // namespace

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 40;
    const int draws = count > 2 ? std::atoi(arguments[2]) : 0;
    const std::vector<test::Sweep> sweeps = test::collective_sweeps();
    const auto groups = prepare(sweeps);
    std::vector<Prepared> all;
    for (const auto& of_group : groups) all.insert(all.end(), of_group.begin(), of_group.end());
    Tally known, unknown;
    std::mt19937 random(1);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (draws == 0)
            for (std::size_t one = 0; one < groups[g].size(); ++one)
                hide(g, groups[g], [one](std::size_t i) { return i == one; }, all, rounds, true, known, unknown);
        for (int draw = 0; draw < draws; ++draw) {
            std::vector<bool> aside(groups[g].size());
            std::bernoulli_distribution third(0.3);
            std::generate(aside.begin(), aside.end(), [&] { return third(random); });
            hide(g, groups[g], [&aside](std::size_t i) { return static_cast<bool>(aside[i]); }, all, rounds, false, known, unknown);
        }
    }
    known.print("links known from other sweeps");
    unknown.print("links never seen");
    return 0;
}
