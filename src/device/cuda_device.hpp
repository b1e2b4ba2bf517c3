// CudaDevice: one GPU as a StreamDevice. Streams of the schedule, events, memory of pools (planned arenas or stream-ordered allocation),
// pinned staging for uploads, kernels of cuda_kernels/ and products by cuBLASLt.
// Made by cli/, one a rank; driven by exec/ from one thread. Counts what it hands out itself.
// Does not order streams: exec/ does, by the schedule's deps.
#pragma once

#include "device/cuda_blas.hpp"
#include "device/cuda_handles.hpp"
#include "device/gpu.hpp"

#include <atomic>
#include <map>
#include <string>
#include <vector>

namespace zerosim::device {

class CudaDevice final : public StreamDevice {
public:
    explicit CudaDevice(GpuOptions options);
    ~CudaDevice() override;

    [[nodiscard]] std::byte* allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) override;
    void release(PoolId pool, std::byte* data, std::int64_t bytes) override;
    [[nodiscard]] std::int64_t handed_out_bytes() const override { return handed_out_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t peak_bytes() const override { return peak_.load(std::memory_order_relaxed); }

    void upload(const void* source, void* destination, std::int64_t bytes) override;
    void download(const void* source, void* destination, std::int64_t bytes) override;
    void launch(const KernelCall& call) override;
    void copy(const TensorView& source, const TensorView& destination, bool accumulate) override;
    void fill(const TensorView& destination, double value) override;

    void use(StreamId stream) override { current_ = stream.index(); }
    [[nodiscard]] Event make_event(bool timed) override;
    void record(Event event) override;
    void wait(Event event) override;
    [[nodiscard]] bool done(Event event) override;
    [[nodiscard]] double seconds_between(Event begin, Event end) override;
    void hold(double seconds) override;
    [[nodiscard]] void* native_stream() override { return stream(); }
    void begin_range(std::string_view name) override;
    void end_range() override;
    [[nodiscard]] DriverLedger* driver_ledger() override;
    [[nodiscard]] std::vector<std::string> remarks() const override;

private:
    struct Staging {
        PinnedMemory memory;
        std::int64_t bytes = 0;
        CudaEvent used;                                  // recorded behind the copy that reads it
    };
    struct PoolState {
        std::shared_ptr<std::byte> arena;
        std::int64_t arena_bytes = 0;
        std::map<std::int64_t, std::int64_t> live;       // planned: offset -> bytes; else address -> bytes
    };
    /// What only one stream at a time may use: a stream has its own.
    struct StreamState {
        CudaStream handle;
        DeviceMemory scratch;
        std::unique_ptr<CudaBlas> blas;
    };
    [[nodiscard]] cudaStream_t stream() const { return streams_[current_].handle.get(); }
    [[nodiscard]] cuda::LaunchContext context();
    [[nodiscard]] Staging& staging_of(std::int64_t bytes);

    GpuOptions options_;
    DriverLedger ledger_;
    bool tensor_cores_ = false;
    std::int64_t blas_workspace_ = 0;
    std::size_t current_ = 0;
    std::vector<StreamState> streams_;
    std::vector<PoolState> pools_;
    std::vector<CudaEvent> events_;
    std::vector<Staging> staging_;
    std::size_t next_staging_ = 0;
    std::atomic<std::int64_t> handed_out_{0}, peak_{0};
};

}  // namespace zerosim::device
