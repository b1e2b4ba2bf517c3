// Fits the constants of src/cost/nccl_measured.cpp to tests/truth/collectives and prints them: fit_collectives [rounds [every]].
// With `every`, each every-th sweep is left out of the fit, which then begins 1.3 times off in every constant so that it keeps
// nothing of earlier fits; the error of the sweeps left out is printed.
// One group of clusters at a time (a generation within nodes, PCIe, all networks). What a cluster's median errors exceed its limits
// (limits.csv) by counts three times, so that no refit gives up a cluster for the mean. Latencies and link efficiencies are those of the
// cluster files, which name the row they come from; hold_out_collectives fits those too.
#include "calibration/collective_fit.hpp"

#include <cstdlib>
#include <map>

namespace {

using namespace zerosim;
using namespace zerosim::calibration;

/// Of the clusters that have a limit and sweeps in this group; a limit is of all sweeps of its cluster, so those with others are near it.
double excess(const std::vector<Prepared>& sweeps, const std::vector<test::Limit>& limits, const NcclMeasured& tried) {
    std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> errors;
    for (const Prepared& p : sweeps) {
        const Error e = error(p, tried);
        errors[p.sweep->cluster].first.push_back(e.all);
        errors[p.sweep->cluster].second.push_back(e.large);
    }
    double sum = 0;
    for (const test::Limit& limit : limits)
        if (const auto of = errors.find(limit.cluster); of != errors.end())
            sum += std::max(0.0, test::median(of->second.first) - limit.all) + std::max(0.0, test::median(of->second.second) - limit.large);
    return sum;
}

NcclMeasured fit(const std::vector<Prepared>& sweeps, NcclMeasured constants, std::span<const Constant> which, int rounds) {
    std::vector<std::function<void(double)>> numbers;
    for (const Constant& constant : which) numbers.emplace_back([&](double factor) { constant.of(constants) *= factor; });
    const std::vector<test::Limit> limits = test::collective_limits();
    descend(numbers, [&] { return loss(sweeps, constants) + 3 * excess(sweeps, limits, constants); }, rounds);
    return constants;
}

/// Median over the sweeps' median errors, over all sizes and from 16 MiB up.
void print_error(const char* what, const std::vector<Prepared>& sweeps, const NcclMeasured& tried) {
    std::vector<double> all, large;
    int within = 0;
    for (const Prepared& p : sweeps) {
        const Error e = error(p, tried);
        all.push_back(e.all);
        large.push_back(e.large);
        within += e.within();
    }
    fmt::print("  {}: {} sweeps, {:.1f} % over all sizes, {:.1f} % from 16 MiB up, {} within 15 % and 8 %\n", what, sweeps.size(),
               100 * test::median(all), 100 * test::median(large), within);
}

} // namespace

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 40;
    const std::size_t every = count > 2 ? static_cast<std::size_t>(std::atoi(arguments[2])) : 0;
    const std::vector<test::Sweep> sweeps = test::collective_sweeps();
    const auto groups = prepare(sweeps);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        std::vector<Prepared> kept, aside;
        for (std::size_t i = 0; i < groups[g].size(); ++i) (every > 0 && i % every == 0 ? aside : kept).push_back(groups[g][i]);
        if (kept.empty()) continue;
        const std::vector<Constant>& constants = constants_of(g);
        const NcclMeasured before = cost::nccl_measured(kept.front().topology);
        NcclMeasured start = before;
        for (std::size_t i = 0; every > 0 && i < constants.size(); ++i) constants[i].of(start) *= i % 2 == 0 ? 1.3 : 1 / 1.3;
        NcclMeasured after = fit(kept, start, constants, rounds);
        fmt::print("{}: {} sweeps, loss {:.4f} -> {:.4f}\n", kGroups[g], kept.size(), loss(kept, before), loss(kept, after));
        print_error("fitted", kept, after);
        if (!aside.empty()) print_error("left out", aside, after);
        for (const Constant& constant : constants)
            if (constant.of(after) != 0) fmt::print("    .{} = {:.4g},\n", constant.name, constant.of(after));
    }
    return 0;
}
