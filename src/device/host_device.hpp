// HostDevice: the CPU as a Device. Memory in pools (planned arenas or caching), kernels on a rank's own threads.
// Made by cli/ and tests, driven by exec/. Allocation is single-threaded (the issuing thread); launch, copy and fill may
// be called from stream threads at the same time; counters may be read from anywhere.
// Does not order anything and does not know a schedule.
#pragma once

#include "device/device.hpp"
#include "device/pool_memory.hpp"
#include "device/workers.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace zerosim::device {

enum class MemoryPolicy : std::uint8_t { planned, caching };

struct HostDeviceOptions {
    int threads = 1; // of the compute stream, the launching thread included
    MemoryPolicy policy = MemoryPolicy::caching;
    std::vector<std::string> pools;        // names, for messages; PoolId indexes it
    std::vector<std::int64_t> arena_bytes; // planned: one size a pool
    std::vector<bool> poison;              // by pool, see PoolMemory; empty = all
};

class HostDevice final : public Device {
public:
    explicit HostDevice(HostDeviceOptions options);

    [[nodiscard]] std::byte* allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) override;
    void release(PoolId pool, std::byte* data, std::int64_t bytes) override;
    [[nodiscard]] std::int64_t handed_out_bytes() const override { return total_.current.load(std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t peak_bytes() const override { return total_.peak.load(std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t handed_out_bytes(PoolId pool) const;
    [[nodiscard]] std::int64_t peak_bytes(PoolId pool) const;
    /// Bytes mapped from the system for this pool: an arena, or a caching pool's segments.
    [[nodiscard]] std::int64_t reserved_bytes(PoolId pool) const;
    /// Peaks start again from what is handed out now.
    void reset_peaks();

    void upload(const void* source, void* destination, std::int64_t bytes) override;
    void download(const void* source, void* destination, std::int64_t bytes) override;

    void launch(const KernelCall& call) override;
    void copy(const TensorView& source, const TensorView& destination, bool accumulate) override;
    void fill(const TensorView& destination, double value) override;

private:
    struct Counter {
        std::atomic<std::int64_t> current = 0, peak = 0;
        void add(std::int64_t bytes);
        void reset_peak();
    };
    struct Pool {
        std::unique_ptr<PoolMemory> memory;
        Counter counter;
    };
    [[nodiscard]] Pool& pool_of(PoolId pool) const;

    std::vector<std::unique_ptr<Pool>> pools_;
    Counter total_;
    Workers workers_;
    std::mutex workers_mutex_; // Workers run one loop at a time; streams are threads
};

} // namespace zerosim::device
