// What the model says of a sweep that it was not calibrated on: hold_out_collectives [rounds [draws]].
// Hides each scored sweep in turn (or, with draws, 30 % of them at random, so many times), fits again all that came from the rest, the
// constants of its group and the links of its cluster (launch, latency, achieved bandwidth), from values 1.3 times off, and prints the
// error of what was hidden. Links that no other sweep knows get the median of the clusters of the group: a fabric never seen.
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

/// Numbers of one group, fitted to some of its sweeps.
class Fit {
public:
    Fit(std::size_t group, const std::vector<Prepared>& kept) : group_(group), originals_(kept), tried_(kept) {
        constants_ = cost::nccl_measured(kept.front().topology);
        const auto& which = constants_of(group);
        for (std::size_t i = 0; i < which.size(); ++i) which[i].of(constants_) *= i % 2 == 0 ? 1.3 : 1 / 1.3;
        for (const Prepared& p : kept) links_[family(p)] = {1.3, 1 / 1.3, 1.1};
        loss_.resize(kept.size());
    }
    void run(int rounds) {
        update();
        std::vector<std::function<void(double)>> numbers;
        for (const Constant& constant : constants_of(group_)) numbers.emplace_back([this, &constant](double f) { constant.of(constants_) *= f; });
        for (auto& [key, links] : links_)
            for (double Links::*number : {&Links::launch, &Links::latency, &Links::rate})
                numbers.emplace_back([this, &links, number](double f) { links.*number *= f, update(); });
        descend(numbers, [this] { return loss(tried_, constants_); }, rounds);
    }
    /// Of a sweep that was not fitted; its links known from other sweeps, or not.
    [[nodiscard]] std::pair<Error, bool> error_of(const Prepared& hidden) const {
        Prepared p = hidden;
        const auto known = links_.find(family(hidden));
        apply(p, known != links_.end() ? known->second : median_links(hidden), hidden);
        return {error(p, constants_), known != links_.end()};
    }

private:
    std::size_t group_;
    std::vector<Prepared> originals_, tried_;
    NcclMeasured constants_;
    std::map<Family, Links> links_;
    std::vector<double> loss_;
    void update() {
        for (std::size_t i = 0; i < tried_.size(); ++i) apply(tried_[i], links_.at(family(originals_[i])), originals_[i]);
    }
    /// The factors that give the hidden sweep's cluster the median numbers of the others; rate: the median part of the nominal one.
    [[nodiscard]] Links median_links(const Prepared& hidden) const {
        std::vector<double> launch, latency, efficiency;
        std::map<Family, bool> seen;
        const bool network = group_ == kNetworks;
        for (std::size_t i = 0; i < originals_.size(); ++i) {
            if (!seen.emplace(family(originals_[i]), true).second) continue;
            const auto& link = network ? tried_[i].cluster.network : tried_[i].cluster.intra_node;
            launch.push_back(tried_[i].cluster.collective_launch_seconds);
            latency.push_back(link.latency_seconds);
            efficiency.push_back(links_.at(family(originals_[i])).rate * link.efficiency);
        }
        const auto& link = network ? hidden.cluster.network : hidden.cluster.intra_node;
        return {test::median(launch) / hidden.cluster.collective_launch_seconds, test::median(latency) / link.latency_seconds,
                test::median(efficiency) / link.efficiency};
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
void hide(std::size_t g, const std::vector<Prepared>& sweeps, const Hides& hides, int rounds, bool print, Tally& known, Tally& unknown) {
    std::vector<Prepared> kept, hidden;
    for (std::size_t i = 0; i < sweeps.size(); ++i) (hides(i) ? hidden : kept).push_back(sweeps[i]);
    if (kept.empty() || hidden.empty()) return;
    Fit fit(g, kept);
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
    Tally known, unknown;
    std::mt19937 random(1);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (draws == 0)
            for (std::size_t one = 0; one < groups[g].size(); ++one)
                hide(g, groups[g], [one](std::size_t i) { return i == one; }, rounds, true, known, unknown);
        for (int draw = 0; draw < draws; ++draw) {
            std::vector<bool> aside(groups[g].size());
            std::bernoulli_distribution third(0.3);
            std::generate(aside.begin(), aside.end(), [&] { return third(random); });
            hide(g, groups[g], [&aside](std::size_t i) { return static_cast<bool>(aside[i]); }, rounds, false, known, unknown);
        }
    }
    known.print("links known from other sweeps");
    unknown.print("links never seen");
    return 0;
}
