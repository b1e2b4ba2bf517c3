#include "cli/calibrate/calibrate_fit.hpp"
#include "cli/calibrate/two_costs.hpp"
#include "cost/cost.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace zerosim::cli {
namespace {

using cluster::Cluster;

// A message's latency, what its announcement adds, seconds a byte over a link (in cache), what memory adds to that, and seconds a
// byte to reduce.
constexpr std::size_t kUnknowns = 5;
using Unknowns = std::array<double, kUnknowns>;

constexpr double kFastest = 1e15; // bytes per second: a cost that the fit found to be none

double rate(double seconds_a_byte) { return seconds_a_byte > 0 ? std::min(kFastest, 1 / seconds_a_byte) : kFastest; }

Cluster with(Cluster cluster, const Unknowns& u) {
    cluster.collective_launch_seconds = 0; // with one group size it cannot be told from the latency
    cluster.intra_node = {u[0], rate(u[2]), 1.0};
    cluster.transport.rendezvous_seconds = u[1];
    cluster.transport.uncached_bytes_per_second = u[3] > 0 ? rate(u[2] + u[3]) : 0.0;
    cluster.reduction_bytes_per_second = u[4] > 0 ? rate(u[4]) : 0.0;
    return cluster;
}

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

/// The median, or the 10th percentile where the median is far above it: something else had the cores for half of the samples.
double undisturbed_seconds(const CollectiveSample& sample) {
    constexpr double kFarAbove = 1.5;
    return sample.low_seconds > 0 && sample.seconds > kFarAbove * sample.low_seconds ? sample.low_seconds : sample.seconds;
}

/// The cost model is linear in the unknowns: what it grows by when one of them goes from 0 to 1 is that unknown's coefficient.
Row row_of(const Cluster& cluster, const CollectiveSample& sample, int ranks) {
    Row row{{}, undisturbed_seconds(sample)};
    const auto seconds = [&](const Unknowns& u) { return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, with(cluster, u), ranks); };
    const double none = seconds({});
    for (std::size_t unknown = 0; unknown < kUnknowns; ++unknown) {
        Unknowns one{};
        one[unknown] = 1;
        row.coefficients[unknown] = seconds(one) - none;
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

/// Non-negative (Lawson, Hanson 1974), by the best of all supports.
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
/// for (p - m)^2 / (p m) is that square to second order. Samples far off count linearly (Huber 1964), so that a few which something
/// else on the machine disturbed do not decide.
Unknowns fit_ratios(const std::vector<Row>& rows) {
    constexpr int kIterations = 30;
    constexpr double kFarOff = 0.5;
    std::vector<double> weights;
    for (const Row& row : rows) weights.push_back(1 / (row.seconds * row.seconds));
    Unknowns solution = non_negative_least_squares(rows, weights);
    for (int iteration = 0; iteration < kIterations; ++iteration) {
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const double predicted = std::max(rows[r].predicted(solution), 1e-3 * rows[r].seconds);
            const double off = std::abs(std::log(predicted / rows[r].seconds));
            weights[r] = std::min(1.0, kFarOff / std::max(off, 1e-9)) / (rows[r].seconds * predicted);
        }
        solution = non_negative_least_squares(rows, weights);
    }
    return solution;
}

/// Mean of the absolute logarithm of model over measured.
double misfit(const std::vector<Row>& rows, const Unknowns& unknowns) {
    double sum = 0;
    for (const Row& row : rows) sum += std::abs(std::log(std::max(row.predicted(unknowns), 1e-3 * row.seconds) / row.seconds));
    return sum / static_cast<double>(rows.size());
}

std::vector<Row> rows_of(const Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    std::vector<Row> rows;
    for (const CollectiveSample& sample : samples)
        if (sample.seconds > 0 && sample.warm() && sample.kind != CollectiveKind::broadcast && size_of(sample.type) == 4) rows.push_back(row_of(cluster, sample, ranks));
    return rows;
}

/// Where messages begin to be announced and how much cache there is, by which the model is not linear: the candidate that fits
/// best, and the simpler one unless another is clearly better.
std::vector<Row> best_protocol(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks, std::int64_t cache_bytes) {
    constexpr double kClearly = 0.95, kExact = 1e-6;
    // Open MPI 4.1: btl_vader_eager_limit 4096, header included; others announce from 16 or 64 KB.
    constexpr std::int64_t kEager[] = {0, 1000, 4000, 16000, 64000};
    double least = std::numeric_limits<double>::infinity();
    std::vector<Row> best;
    cluster::HostTransport chosen = cluster.transport;
    for (const std::int64_t cache : {std::int64_t{0}, cache_bytes, cache_bytes / 2}) // ranks may get a part of a shared cache
        for (const std::int64_t eager : kEager) {
            cluster.transport.cache_bytes = cache;
            cluster.transport.eager_bytes = eager;
            std::vector<Row> rows = rows_of(cluster, samples, ranks);
            const double error = misfit(rows, fit_ratios(rows));
            if (best.empty() || error + kExact < kClearly * least) {
                least = error;
                best = std::move(rows);
                chosen = cluster.transport;
            }
        }
    cluster.transport = chosen;
    return best;
}

/// A message's latency and seconds a byte.
struct MessageCost {
    double latency = 0, byte = 0;
};

/// What collectives pay that begin as cold as `samples`, beyond those that cost `before`: sets the two of the transport, and returns them. The model is
/// linear in both.
MessageCost fit_level(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks, const MessageCost& before,
                      double cluster::HostTransport::*latency, double cluster::HostTransport::*bytes_per_second) {
    if (samples.empty()) return before;
    constexpr double kLatency = 1e-6, kByte = 1e-9;
    const auto with = [&](const MessageCost& more) {
        Cluster tried = cluster;
        tried.transport.*latency = before.latency + more.latency;
        tried.transport.*bytes_per_second = rate(before.byte + more.byte);
        return tried;
    };
    TwoCosts costs;
    for (const CollectiveSample& sample : samples) {
        const auto seconds = [&](const MessageCost& more) {
            return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, with(more), ranks, sample.type, sample.coldness);
        };
        const double rest = seconds({0, 0}), measured = undisturbed_seconds(sample);
        costs.add((seconds({kLatency, 0}) - rest) / kLatency, (seconds({0, kByte}) - rest) / kByte, measured - rest, measured);
    }
    const auto [more_latency, more_byte] = costs.solve();
    const MessageCost more{std::max(0.0, more_latency), std::max(0.0, more_byte)};
    cluster = with(more);
    return {before.latency + more.latency, before.byte + more.byte};
}

/// What collectives pay that begin with buffers out of the core's own cache, and then out of all.
void fit_cold(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    std::vector<CollectiveSample> shared, cold;
    for (const CollectiveSample& sample : samples)
        if (sample.seconds > 0 && size_of(sample.type) == 4 && !sample.warm()) (sample.cold() ? cold : shared).push_back(sample);
    using cluster::HostTransport;
    HostTransport& transport = cluster.transport;
    transport.shared_latency_seconds = transport.shared_bytes_per_second = transport.cold_latency_seconds = transport.cold_bytes_per_second = 0;
    const MessageCost warm{0, 1 / cluster.intra_node.bytes_per_second};
    const MessageCost out_of_own = fit_level(cluster, shared, ranks, warm, &HostTransport::shared_latency_seconds, &HostTransport::shared_bytes_per_second);
    (void)fit_level(cluster, cold, ranks, out_of_own, &HostTransport::cold_latency_seconds, &HostTransport::cold_bytes_per_second);
}

/// Broadcasts between two ranks, of what their cache holds. More ranks do not show it, and what another calibration found is of other links.
void fit_one_way(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    cluster.transport.one_way_latency_share = cluster.transport.one_way_bytes_per_second = 0;
    if (ranks != 2) return;
    constexpr double kShare = 1, kByte = 1e-9;
    TwoCosts costs;
    for (const CollectiveSample& sample : samples) {
        if (sample.kind != CollectiveKind::broadcast || !sample.warm() || sample.seconds <= 0) continue;
        const auto seconds = [&](double share, double byte) {
            Cluster tried = cluster;
            tried.transport.one_way_latency_share = share;
            tried.transport.one_way_bytes_per_second = rate(byte);
            return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, tried, ranks);
        };
        const double none = seconds(0, 0), measured = undisturbed_seconds(sample);
        costs.add(seconds(kShare, 0) - none, (seconds(0, kByte) - none) / kByte, measured - none, measured);
    }
    const auto [share, byte] = costs.solve();
    if (!(byte > 0)) return;
    cluster.transport.one_way_latency_share = share;
    cluster.transport.one_way_bytes_per_second = rate(byte);
}

/// What sums of 2-byte floats cost, beside what moving the bytes does.
void fit_narrow_sums(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks) {
    constexpr double kByte = 1e-9;
    TwoCosts costs;
    for (const CollectiveSample& sample : samples) {
        if (size_of(sample.type) != 2 || sample.seconds <= 0) continue;
        const auto seconds = [&](double byte) {
            Cluster tried = cluster;
            tried.transport.narrow_reduction_bytes_per_second = rate(byte);
            return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, tried, ranks, sample.type, sample.coldness);
        };
        const double measured = undisturbed_seconds(sample);
        costs.add((seconds(kByte) - seconds(0)) / kByte, 0, measured - seconds(0), measured);
    }
    const double byte = costs.solve().first;
    cluster.transport.narrow_reduction_bytes_per_second = byte > 0 ? rate(byte) : 0.0;
}

std::array<LinkFit::Range, kUnknowns> jackknife(const std::vector<Row>& rows, const Unknowns& whole) {
    std::array<LinkFit::Range, kUnknowns> ranges;
    for (std::size_t i = 0; i < kUnknowns; ++i) ranges[i] = {whole[i], whole[i]};
    for (std::size_t left_out = 0; left_out < rows.size(); ++left_out) {
        std::vector<Row> others = rows;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
        const Unknowns found = fit_ratios(others);
        for (std::size_t i = 0; i < kUnknowns; ++i)
            ranges[i] = {std::min(ranges[i].low, found[i]), std::max(ranges[i].high, found[i])};
    }
    return ranges;
}

} // namespace

LinkFit fit_collectives(Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks, std::int64_t cache_bytes) {
    cluster.transport.algorithm = cluster::HostAlgorithm::exchange; // what was measured
    const std::vector<Row> rows = best_protocol(cluster, samples, ranks, cache_bytes);
    const Unknowns fitted = fit_ratios(rows);
    cluster = with(cluster, fitted);
    fit_cold(cluster, samples, ranks);
    fit_narrow_sums(cluster, samples, ranks);
    fit_one_way(cluster, samples, ranks);
    const auto ranges = jackknife(rows, fitted);
    LinkFit fit{ranges[0], ranges[1], ranges[2], ranges[3], ranges[4]};
    std::vector<double> errors;
    for (const Row& row : rows) errors.push_back(std::abs(row.predicted(fitted) / row.seconds - 1));
    fit.median_error = percentile(errors, 0.5);
    fit.worst_error = percentile(errors, 1.0);
    return fit;
}

double predicted_ratio(const Cluster& cluster, const CollectiveSample& sample, int ranks) {
    return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks, sample.type, sample.coldness) / sample.seconds;
}

} // namespace zerosim::cli
