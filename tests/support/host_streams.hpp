// A StreamDevice and a StreamCommunicator on the host, for tests of the executor on streams: every op is done when it has been issued, and
// events keep what the executor asked of them, so that a missing wait shows.
#pragma once

#include "base/error.hpp"
#include "comm/stream_communicator.hpp"
#include "device/host_device.hpp"
#include "device/stream_device.hpp"
#include "schedule/memory.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace zerosim::test {

/// With a planned arena. Nothing is poisoned: memory goes back to a pool while streams still use it.
inline std::unique_ptr<device::HostDevice> host_device(const schedule::Schedule& schedule, const schedule::Program& program, const schedule::ArenaPlan& arena) {
    device::HostDeviceOptions options;
    options.threads = 1;
    options.policy = device::MemoryPolicy::planned;
    for (const schedule::Pool& pool : program.pools) options.pools.emplace_back(schedule.names[pool.name]);
    options.poison.assign(program.pools.size(), false);
    options.arena_bytes = arena.pool_bytes;
    return std::make_unique<device::HostDevice>(std::move(options));
}

class HostStreams final : public device::StreamDevice {
public:
    explicit HostStreams(std::unique_ptr<device::HostDevice> host) : host_(std::move(host)) {}
    [[nodiscard]] std::byte* allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) override { return host_->allocate(pool, bytes, planned_offset); }
    void release(PoolId pool, std::byte* data, std::int64_t bytes) override { host_->release(pool, data, bytes); }
    [[nodiscard]] std::int64_t handed_out_bytes() const override { return host_->handed_out_bytes(); }
    [[nodiscard]] std::int64_t peak_bytes() const override { return host_->peak_bytes(); }
    void upload(const void* source, void* destination, std::int64_t bytes) override { host_->upload(source, destination, bytes); }
    void download(const void* source, void* destination, std::int64_t bytes) override { host_->download(source, destination, bytes); }
    void launch(const device::KernelCall& call) override { host_->launch(call); }
    void copy(const device::TensorView& source, const device::TensorView& destination, bool accumulate) override { host_->copy(source, destination, accumulate); }
    void fill(const device::TensorView& destination, double value) override { host_->fill(destination, value); }

    void use(StreamId stream) override { stream_ = stream; }
    [[nodiscard]] Event make_event(bool timed) override {
        events_.push_back({timed, false, {}});
        return static_cast<Event>(events_.size() - 1);
    }
    void record(Event event) override {
        events_[event].recorded = true;
        events_[event].time = std::chrono::steady_clock::now();
    }
    void wait(Event event) override {
        check(events_[event].recorded, "a stream waits for an event that nobody recorded");
        ++waits;
    }
    [[nodiscard]] bool done(Event event) override {
        check(events_[event].recorded, "the host waits for an event that nobody recorded");
        return true;
    }
    [[nodiscard]] double seconds_between(Event begin, Event end) override {
        check(events_[begin].timed && events_[end].timed, "an event without time was asked for its time");
        return std::chrono::duration<double>(events_[end].time - events_[begin].time).count();
    }
    void hold(double) override {}
    [[nodiscard]] void* native_stream() override { return this; }
    void begin_range(std::string_view) override { ++depth_; }
    void end_range() override { --depth_; }
    [[nodiscard]] device::DriverLedger* driver_ledger() override { return ledger; }
    int waits = 0;
    device::DriverLedger* ledger = nullptr;

private:
    struct Mark {
        bool timed = false, recorded = false;
        std::chrono::steady_clock::time_point time;
    };
    std::unique_ptr<device::HostDevice> host_;
    StreamId stream_;
    std::vector<Mark> events_;
    int depth_ = 0;
};

/// Runs each collective to its end when it is enqueued.
class BlockingCollectives : public comm::StreamCommunicator {
public:
    explicit BlockingCollectives(std::unique_ptr<comm::Communicator> local) : local_(std::move(local)) {}
    [[nodiscard]] int rank() const override { return local_->rank(); }
    [[nodiscard]] int size() const override { return local_->size(); }
    void enqueue(const comm::CollectiveCall& call, void*) override { local_->run(call); }
    void begin_group() override {}
    void end_group() override {}
    void check_errors() override {}
    void abandon() noexcept override { local_->abandon(); }

protected:
    std::unique_ptr<comm::Communicator> local_;
};

}  // namespace zerosim::test
