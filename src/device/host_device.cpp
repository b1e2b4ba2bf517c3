#include "device/host_device.hpp"

#include "base/error.hpp"
#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <fmt/format.h>

#include <cstring>

namespace zerosim::device {

// Only the issuing thread writes; others may read.
void HostDevice::Counter::add(std::int64_t bytes) {
    const std::int64_t now = current.load(std::memory_order_relaxed) + bytes;
    current.store(now, std::memory_order_relaxed);
    if (now > peak.load(std::memory_order_relaxed)) peak.store(now, std::memory_order_relaxed);
}

void HostDevice::Counter::reset_peak() { peak.store(current.load(std::memory_order_relaxed), std::memory_order_relaxed); }

HostDevice::HostDevice(HostDeviceOptions options) : workers_(options.threads) {
    const bool planned = options.policy == MemoryPolicy::planned;
    if (planned)
        check(options.arena_bytes.size() == options.pools.size(), "a planned host device needs the arena size of every pool");
    for (std::size_t i = 0; i < options.pools.size(); ++i) {
        auto pool = std::make_unique<Pool>();
        const bool poisons = options.poison.empty() || options.poison[i];
        if (planned)
            pool->memory = std::make_unique<PlannedMemory>(options.pools[i], options.arena_bytes[i], poisons);
        else
            pool->memory = std::make_unique<CachingMemory>(options.pools[i], poisons);
        pools_.push_back(std::move(pool));
    }
}

HostDevice::Pool& HostDevice::pool_of(PoolId pool) const {
    if (pool.index() >= pools_.size())
        throw BugError(fmt::format("pool {} is named, the host device has {} pools", pool.value, pools_.size()));
    return *pools_[pool.index()];
}

std::byte* HostDevice::allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) {
    Pool& from = pool_of(pool);
    std::byte* data = from.memory->allocate(bytes, planned_offset);
    from.counter.add(bytes);
    total_.add(bytes);
    return data;
}

void HostDevice::release(PoolId pool, std::byte* data, std::int64_t bytes) {
    Pool& to = pool_of(pool);
    to.memory->release(data, bytes);
    to.counter.add(-bytes);
    total_.add(-bytes);
}

std::int64_t HostDevice::handed_out_bytes(PoolId pool) const {
    return pool_of(pool).counter.current.load(std::memory_order_relaxed);
}
std::int64_t HostDevice::peak_bytes(PoolId pool) const { return pool_of(pool).counter.peak.load(std::memory_order_relaxed); }
std::int64_t HostDevice::reserved_bytes(PoolId pool) const { return pool_of(pool).memory->reserved_bytes(); }

void HostDevice::reset_peaks() {
    total_.reset_peak();
    for (auto& pool : pools_) pool->counter.reset_peak();
}

// A kernel waits for the threads (its bits may depend on their number); a copy or fill that finds them busy runs alone.
void HostDevice::upload(const void* source, void* destination, std::int64_t bytes) {
    if (bytes > 0) std::memcpy(destination, source, static_cast<std::size_t>(bytes));
}

void HostDevice::download(const void* source, void* destination, std::int64_t bytes) { upload(source, destination, bytes); }

void HostDevice::launch(const KernelCall& call) {
    const std::lock_guard lock(workers_mutex_);
    KernelCall own = call;
    own.context.workers = &workers_;
    host::run_kernel(own);
}

void HostDevice::copy(const TensorView& source, const TensorView& destination, bool accumulate) {
    const std::unique_lock lock(workers_mutex_, std::try_to_lock);
    host::copy(lock ? &workers_ : nullptr, source, destination, accumulate);
}

void HostDevice::fill(const TensorView& destination, double value) {
    const std::unique_lock lock(workers_mutex_, std::try_to_lock);
    host::fill(lock ? &workers_ : nullptr, destination, value);
}

} // namespace zerosim::device
