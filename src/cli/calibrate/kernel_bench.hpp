// Operands of one kernel call, and a stopwatch for it on all ranks at once.
// Included by calibrate_kernels.cpp and calibrate_paces.cpp only.
// Does not choose kernels or shapes.
#pragma once

#include "cli/calibrate/calibrate_kernels.hpp"
#include "cli/collectives/collective_benchmark.hpp"
#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/pool_memory.hpp"
#include "device/workers.hpp"
#include "kernel/work.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace zerosim::cli {

using device::TensorView;
using kernel::Attributes;
using kernel::Kernel;

/// Operands of one kernel call, allocated and filled with small numbers.
class Operands {
public:
    void add(std::int64_t rows, std::int64_t columns, DType type) {
        TensorView view{memory_.allocate(rows * columns * size_of(type), -1), rows, columns, columns, type};
        if (type != DType::int32) device::host::fill(nullptr, view, 0.5);
        views_.push_back(view);
    }
    void add_zeros(std::int64_t rows, std::int64_t columns, DType type) {
        views_.push_back({memory_.allocate(rows * columns * size_of(type), -1), rows, columns, columns, type}); // fresh pages are 0
    }
    void absent() { views_.push_back({}); }
    [[nodiscard]] std::span<const TensorView> views() const { return views_; }

private:
    device::CachingMemory memory_{"operands"}; // huge pages, as a run has
    std::vector<TensorView> views_;
};

/// Times work on all ranks at once.
class Bench {
public:
    Bench(TeamRank& rank, int threads, int repeats) : rank_(rank), workers_(threads), threads_(threads), repeats_(repeats) {}

    void time(Resource resource, std::string what, double work, const std::function<void()>& once) {
        using Clock = std::chrono::steady_clock;
        constexpr double kLongEnough = 1e-3; // of one sample: three orders above the clock's own cost and a barrier's skew
        const auto seconds_of = [&](int calls) {
            rank_.barrier();
            const auto begin = Clock::now();
            for (int i = 0; i < calls; ++i) once();
            return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
        };
        (void)seconds_of(1);
        const std::vector<double> first = rank_.gather({seconds_of(1)}); // the same count on every rank
        const double typical = *std::max_element(first.begin(), first.end());
        const int calls = std::clamp(static_cast<int>(kLongEnough / std::max(typical, 1e-9)), 1, 100'000);
        std::vector<double> mine;
        for (int i = 0; i < repeats_; ++i) mine.push_back(seconds_of(calls));
        const std::vector<double> all = rank_.gather(mine);
        samples.push_back({resource, std::move(what), work, 0, percentile(all, 0.5), percentile(all, 0.1), percentile(all, 0.9)});
    }

    void time_kernel(Resource resource, std::string what, Kernel kernel, const Attributes& attributes, const Operands& operands,
                     double work, DType type = DType::fp32) {
        const device::RangeSegment whole{0, attributes.tokens};
        const std::vector<device::RangeSegment> range{whole};
        const device::KernelCall call{kernel, attributes, operands.views(), range, {0, 1, 0, &workers_}};
        time(resource, std::move(what), work, [&] { device::host::run_kernel(call); });
        samples.back().host = cost::host_work(kernel, attributes);
        samples.back().type = type;
    }

    void workspace(Operands& operands, Kernel kernel, const Attributes& attributes, DType type) const {
        const std::int64_t bytes = kernel::workspace_bytes(kernel, attributes, type, kernel::Library::host, threads_);
        if (bytes > 0)
            operands.add(1, bytes / 4, DType::fp32);
        else
            operands.absent();
    }

    device::Workers& workers() { return workers_; }
    std::vector<KernelSample> samples;

private:
    TeamRank& rank_;
    device::Workers workers_;
    int threads_, repeats_;
};

void time_linear(Bench& bench, Resource resource, std::int64_t tokens, std::int64_t in, std::int64_t out, DType type);
struct AttentionCase {
    std::int32_t batch = 1, sequence = 1, heads = 1, head_dim = 1;
};
void time_attention(Bench& bench, Resource resource, const AttentionCase& what, bool backward, DType type);
/// calibrate_paces.cpp: every kernel of cluster::HostKernel in shapes that tell its elements from its rows, in 4 and 2 bytes.
void time_paces(Bench& bench);

} // namespace zerosim::cli
