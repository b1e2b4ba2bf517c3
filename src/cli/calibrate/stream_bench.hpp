// Times work on a device's stream, as all ranks see it: calls behind each other between two events, the slowest rank's time.
// Used by `collectives` and `calibrate` on GPUs; on any StreamDevice, so that tests need no GPU.
// Knows no kernel and no collective.
#pragma once

#include "cli/collectives/rank_team.hpp"
#include "device/stream_device.hpp"

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace zerosim::cli {

/// Memory of the device's first pool, given back at the end.
class DeviceBuffer {
public:
    DeviceBuffer(device::StreamDevice& device, std::int64_t bytes) : device_(&device), data_(device.allocate(PoolId{0}, bytes, -1)), bytes_(bytes) {}
    ~DeviceBuffer() { release(); }
    DeviceBuffer(DeviceBuffer&& other) noexcept : device_(other.device_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
    DeviceBuffer& operator=(DeviceBuffer&&) = delete;
    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] std::int64_t bytes() const { return bytes_; }

private:
    void release() noexcept;
    device::StreamDevice* device_;
    std::byte* data_;
    std::int64_t bytes_;
};

/// Seconds of one call.
struct Timing {
    double median = 0, low = 0, high = 0;    // of the batches: 10th and 90th percentile
};
[[nodiscard]] Timing timing_of(std::vector<double> batches);

class StreamBench {
public:
    StreamBench(device::StreamDevice& device, TeamRank& rank);
    [[nodiscard]] device::StreamDevice& device() { return device_; }
    [[nodiscard]] TeamRank& rank() { return rank_; }
    /// One batch: seconds of a call, of `calls` enqueued behind each other; this rank's. All ranks begin together.
    [[nodiscard]] double batch(int calls, const std::function<void()>& enqueue);
    /// After a warm-up, `batches` batches, each of so many calls that it is long against its events (the same number on all ranks); the slowest rank's.
    [[nodiscard]] Timing time(int batches, const std::function<void()>& enqueue);
    /// Host time of a call of the last batch: enqueued without waiting.
    [[nodiscard]] double host_seconds() const { return host_seconds_; }
    void wait();

private:
    device::StreamDevice& device_;
    TeamRank& rank_;
    device::StreamDevice::Event begin_, end_;
    double host_seconds_ = 0;
};

}  // namespace zerosim::cli
