#include "cli/calibrate/stream_bench.hpp"

#include "base/error.hpp"
#include "cli/collectives/collective_benchmark.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace zerosim::cli {

void DeviceBuffer::release() noexcept {
    if (data_ == nullptr) return;
    try {
        device_->release(PoolId{0}, data_, bytes_);
    } catch (const std::exception&) {        // the device is lost, and whoever waits for its work says so
    }
}

Timing timing_of(std::vector<double> batches) { return {percentile(batches, 0.5), percentile(batches, 0.1), percentile(batches, 0.9)}; }

StreamBench::StreamBench(device::StreamDevice& device, TeamRank& rank) : device_(device), rank_(rank) {
    device_.use(StreamId{0});
    begin_ = device_.make_event(true);
    end_ = device_.make_event(true);
}

void StreamBench::wait() {
    using Clock = std::chrono::steady_clock;
    constexpr int kPolls = 4096;             // a look at the clock between as many
    const auto limit = Clock::now() + std::chrono::duration<double>(rank_.timeout_seconds());
    device_.record(end_);
    for (int polls = 0; !device_.done(end_); ++polls)
        if (polls % kPolls == kPolls - 1 && Clock::now() > limit)
            throw EnvironmentError(fmt::format("rank {} of {}: what was enqueued is not done after {:.0f} s (timeout-seconds): a peer is missing, or the device hangs", rank_.rank(), rank_.size(),
                                               rank_.timeout_seconds()));
}

double StreamBench::batch(int calls, const std::function<void()>& enqueue) {
    using Clock = std::chrono::steady_clock;
    wait();
    rank_.barrier();
    const auto begin = Clock::now();
    device_.record(begin_);
    for (int i = 0; i < calls; ++i) enqueue();
    host_seconds_ = std::chrono::duration<double>(Clock::now() - begin).count() / calls;
    wait();
    return device_.seconds_between(begin_, end_) / calls;
}

Timing StreamBench::time(int batches, const std::function<void()>& enqueue) {
    constexpr double kLongEnough = 5e-3;     // an event's own cost is microseconds
    constexpr int kWarmUps = 3, kMostCalls = 2000;
    (void)batch(kWarmUps, enqueue);
    const double typical = slowest_of_ranks(rank_, {batch(1, enqueue)}).front();
    const int calls = std::clamp(static_cast<int>(kLongEnough / std::max(typical, 1e-9)), 3, kMostCalls);
    std::vector<double> mine;
    for (int i = 0; i < batches; ++i) mine.push_back(batch(calls, enqueue));
    return timing_of(slowest_of_ranks(rank_, mine));
}

}  // namespace zerosim::cli
