#include "cli/calibrate_fit.hpp"

#include "base/error.hpp"
#include "cost/cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace zerosim::cli {
namespace {

using cluster::Cluster;

/// Work of all samples of a resource over their time, per core: long kernels weigh more, as they do in a step.
double rate(const std::vector<KernelSample>& samples, Resource resource, double cores) {
    double work = 0, seconds = 0;
    for (const KernelSample& sample : samples)
        if (sample.resource == resource) {
            work += sample.work;
            seconds += sample.seconds;
        }
    check(seconds > 0, "no samples of a resource");
    return work / seconds / cores;
}

/// Of the GEMM rate, what attention's products reach beside its softmax, which the model charges apart.
double attention_efficiency(const std::vector<KernelSample>& samples, const cluster::DeviceSpec& device, double cores) {
    double matrix = 0, seconds = 0;
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::attention) {
            matrix += sample.work / device.fp32_flops;
            seconds += sample.seconds * cores - sample.vector_work / device.vector_flops;
        }
    return seconds > matrix ? matrix / seconds : 1.0;
}

constexpr std::size_t kUnknowns = 3; // latency, seconds a byte over a link, seconds a byte to reduce
using Unknowns = std::array<double, kUnknowns>;

/// One measured time: what the unknowns are multiplied with to predict it.
struct Row {
    Unknowns coefficients{};
    double seconds = 0;
    [[nodiscard]] double predicted(const Unknowns& unknowns) const {
        double sum = 0;
        for (std::size_t i = 0; i < kUnknowns; ++i) sum += coefficients[i] * unknowns[i];
        return sum;
    }
};

/// The cost model is linear in the three: its value with one of them 1 and the others 0 is that unknown's coefficient.
Row row_of(Cluster cluster, const CollectiveSample& sample, int ranks) {
    constexpr double kForever = 1e300; // bytes per second: no time
    Row row{{}, sample.seconds};
    for (std::size_t unknown = 0; unknown < kUnknowns; ++unknown) {
        cluster.intra_node = {unknown == 0 ? 1.0 : 0.0, unknown == 1 ? 1.0 : kForever, 1.0};
        cluster.reduction_bytes_per_second = unknown == 2 ? 1.0 : kForever;
        row.coefficients[unknown] = cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks);
    }
    return row;
}

/// Weighted least squares in the chosen unknowns, by elimination on the normal equations; the others are 0. False if they cannot
/// be told apart.
bool solve(const std::vector<Row>& rows, const std::vector<double>& weights, unsigned chosen, Unknowns& solution) {
    const auto is_chosen = [&](std::size_t i) { return (chosen >> i & 1u) != 0; };
    std::array<std::array<double, kUnknowns + 1>, kUnknowns> m{};
    for (std::size_t i = 0; i < kUnknowns; ++i) {
        if (!is_chosen(i)) m[i][i] = 1;
        for (std::size_t r = 0; r < rows.size() && is_chosen(i); ++r) {
            for (std::size_t j = 0; j < kUnknowns; ++j)
                if (is_chosen(j)) m[i][j] += weights[r] * rows[r].coefficients[i] * rows[r].coefficients[j];
            m[i][kUnknowns] += weights[r] * rows[r].coefficients[i] * rows[r].seconds;
        }
    }
    for (std::size_t i = 0; i < kUnknowns; ++i) {
        if (!(m[i][i] > 0)) return false;
        for (std::size_t k = 0; k < kUnknowns; ++k) {
            if (k == i) continue;
            const double factor = m[k][i] / m[i][i];
            for (std::size_t j = i; j <= kUnknowns; ++j) m[k][j] -= factor * m[i][j];
        }
    }
    for (std::size_t i = 0; i < kUnknowns; ++i) solution[i] = m[i][kUnknowns] / m[i][i];
    return true;
}

/// Non-negative (Lawson, Hanson 1974), by the best of the eight supports.
Unknowns non_negative_least_squares(const std::vector<Row>& rows, const std::vector<double>& weights) {
    Unknowns best{};
    double best_error = std::numeric_limits<double>::infinity();
    for (unsigned chosen = 1; chosen < 1u << kUnknowns; ++chosen) {
        Unknowns solution{};
        if (!solve(rows, weights, chosen, solution) ||
            std::any_of(solution.begin(), solution.end(), [](double x) { return x < 0; }))
            continue;
        double error = 0;
        for (std::size_t r = 0; r < rows.size(); ++r)
            error += weights[r] * std::pow(rows[r].predicted(solution) - rows[r].seconds, 2);
        if (error < best_error) {
            best_error = error;
            best = solution;
        }
    }
    return best;
}

/// Least squares of the logarithm of predicted over measured, so that half and double are equally wrong: iteratively reweighted,
/// for (p - m)^2 / (p m) is that square to second order.
Unknowns fit_ratios(const std::vector<Row>& rows) {
    constexpr int kIterations = 50;
    std::vector<double> weights;
    for (const Row& row : rows) weights.push_back(1 / (row.seconds * row.seconds));
    Unknowns solution = non_negative_least_squares(rows, weights);
    for (int iteration = 0; iteration < kIterations; ++iteration) {
        for (std::size_t r = 0; r < rows.size(); ++r)
            weights[r] = 1 / (rows[r].seconds * std::max(rows[r].predicted(solution), 1e-3 * rows[r].seconds));
        solution = non_negative_least_squares(rows, weights);
    }
    return solution;
}

} // namespace

void fit_kernels(Cluster& cluster, const std::vector<KernelSample>& samples, int ranks) {
    const double cores = cluster::cores_per_rank(cluster, ranks);
    cluster::DeviceSpec& device = cluster.device;
    device.fp32_flops = rate(samples, Resource::gemm_fp32, cores);
    device.bf16_flops = rate(samples, Resource::gemm_bf16, cores);
    device.fp16_flops = rate(samples, Resource::gemm_fp16, cores);
    device.vector_flops = rate(samples, Resource::vector, cores);
    device.memory_bytes_per_second = rate(samples, Resource::memory, cores);
    device.attention_efficiency = attention_efficiency(samples, device, cores);
    device.gemm_efficiency = device.memory_efficiency = 1.0; // these are rates, not peaks
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::overhead) device.kernel_launch_seconds = sample.seconds * std::min(1.0, cores);
}

void fit_collectives(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    cluster.collective_launch_seconds = 0; // with one group size it cannot be told from the latency
    std::vector<Row> rows;
    for (const CollectiveSample& sample : samples)
        if (sample.seconds > 0) rows.push_back(row_of(cluster, sample, ranks));
    const Unknowns fitted = fit_ratios(rows);
    constexpr double kFastest = 1e15; // bytes per second: a cost that the fit found to be none
    cluster.intra_node = {fitted[0], fitted[1] > 0 ? std::min(kFastest, 1 / fitted[1]) : kFastest, 1.0};
    cluster.reduction_bytes_per_second = fitted[2] > 0 ? std::min(kFastest, 1 / fitted[2]) : 0.0;
}

double predicted_ratio(const Cluster& cluster, const CollectiveSample& sample, int ranks) {
    return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks) / sample.seconds;
}

} // namespace zerosim::cli
