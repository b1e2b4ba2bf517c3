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

constexpr std::size_t kUnknowns = 3;   // latency, seconds a byte over a link, seconds a byte to reduce
using Row = std::array<double, kUnknowns>;

/// The cost model is linear in the three: its value with one of them 1 and the others 0 is that unknown's coefficient.
Row coefficients(Cluster cluster, const CollectiveSample& sample, int ranks) {
    constexpr double kForever = 1e300;   // bytes per second: no time
    Row row{};
    for (std::size_t unknown = 0; unknown < kUnknowns; ++unknown) {
        cluster.intra_node = {unknown == 0 ? 1.0 : 0.0, unknown == 1 ? 1.0 : kForever, 1.0};
        cluster.reduction_bytes_per_second = unknown == 2 ? 1.0 : kForever;
        row[unknown] = cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks);
    }
    return row;
}

/// Solves the normal equations of the chosen unknowns by elimination; the others are 0. False if singular.
bool solve(const std::vector<Row>& rows, unsigned chosen, Row& solution) {
    std::array<std::array<double, kUnknowns + 1>, kUnknowns> m{};
    for (std::size_t i = 0; i < kUnknowns; ++i) {
        if (!(chosen >> i & 1u)) {
            m[i][i] = 1;
            continue;
        }
        for (const Row& row : rows) {
            for (std::size_t j = 0; j < kUnknowns; ++j)
                if (chosen >> j & 1u) m[i][j] += row[i] * row[j];
            m[i][kUnknowns] += row[i];   // every row is divided by its measured time: the right side is 1
        }
    }
    for (std::size_t i = 0; i < kUnknowns; ++i) {
        if (!(m[i][i] > 0)) return false;   // the matrix is positive definite unless unknowns cannot be told apart
        for (std::size_t k = 0; k < kUnknowns; ++k) {
            if (k == i) continue;
            const double factor = m[k][i] / m[i][i];
            for (std::size_t j = i; j <= kUnknowns; ++j) m[k][j] -= factor * m[i][j];
        }
    }
    for (std::size_t i = 0; i < kUnknowns; ++i) solution[i] = m[i][kUnknowns] / m[i][i];
    return true;
}

double squared_error(const std::vector<Row>& rows, const Row& solution) {
    double sum = 0;
    for (const Row& row : rows) {
        double predicted = 0;
        for (std::size_t i = 0; i < kUnknowns; ++i) predicted += row[i] * solution[i];
        sum += (predicted - 1) * (predicted - 1);
    }
    return sum;
}

/// Non-negative least squares (Lawson, Hanson 1974) of three unknowns: the best of the eight supports.
Row non_negative_least_squares(const std::vector<Row>& rows) {
    Row best{};
    double best_error = std::numeric_limits<double>::infinity();
    for (unsigned chosen = 0; chosen < 1u << kUnknowns; ++chosen) {
        Row solution{};
        if (!solve(rows, chosen, solution) || std::any_of(solution.begin(), solution.end(), [](double x) { return x < 0; })) continue;
        if (const double error = squared_error(rows, solution); error < best_error) {
            best_error = error;
            best = solution;
        }
    }
    return best;
}

}  // namespace

void fit_kernels(Cluster& cluster, const std::vector<KernelSample>& samples, int ranks) {
    const double cores = cluster::cores_per_rank(cluster, ranks);
    cluster::DeviceSpec& device = cluster.device;
    device.fp32_flops = rate(samples, Resource::gemm_fp32, cores);
    device.bf16_flops = rate(samples, Resource::gemm_bf16, cores);
    device.fp16_flops = rate(samples, Resource::gemm_fp16, cores);
    device.vector_flops = rate(samples, Resource::vector, cores);
    device.memory_bytes_per_second = rate(samples, Resource::memory, cores);
    device.attention_efficiency = std::min(1.0, rate(samples, Resource::attention, cores) / device.fp32_flops);
    device.gemm_efficiency = device.memory_efficiency = 1.0;   // these are rates, not peaks
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::overhead) device.kernel_launch_seconds = sample.seconds * std::min(1.0, cores);
}

void fit_collectives(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    cluster.collective_launch_seconds = 0;   // with one group size it cannot be told from the latency
    std::vector<Row> rows;
    for (const CollectiveSample& sample : samples) {
        if (sample.seconds <= 0) continue;
        Row row = coefficients(cluster, sample, ranks);
        for (double& value : row) value /= sample.seconds;
        rows.push_back(row);
    }
    const Row fitted = non_negative_least_squares(rows);
    constexpr double kFastest = 1e15;        // bytes per second: a cost that the fit found to be none
    cluster.intra_node = {fitted[0], fitted[1] > 0 ? std::min(kFastest, 1 / fitted[1]) : kFastest, 1.0};
    cluster.reduction_bytes_per_second = fitted[2] > 0 ? std::min(kFastest, 1 / fitted[2]) : 0.0;
}

double predicted_ratio(const Cluster& cluster, const CollectiveSample& sample, int ranks) {
    return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks) / sample.seconds;
}

}  // namespace zerosim::cli
