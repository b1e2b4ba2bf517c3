#include "device/cuda_device.hpp"

#include "base/error.hpp"

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace zerosim::device {
namespace {

/// Uploads in flight: the host fills one while the device reads the others.
constexpr std::size_t kStagings = 8;
constexpr int kAmpere = 8, kHopper = 9;                  // compute capability
/// cuBLAS documentation, "cuBLAS workspace": 32 MiB on Hopper and Blackwell, 4 MiB before.
constexpr std::int64_t kHopperWorkspace = std::int64_t{32} << 20, kOlderWorkspace = std::int64_t{4} << 20;

/// Of the whole device; -1 where the driver refuses to say.
std::int64_t used_now() {
    std::size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<std::int64_t>(total - free) : -1;
}

/// Stream-ordered frees go back to the system at the next synchronisation unless the pool may keep them (CUDA Runtime API,
/// cudaMemPoolAttrReleaseThreshold: 0 by default), and every step would map its memory anew.
void keep_freed_memory(int ordinal) {
    int supported = 0;                                   // not on every virtual GPU; planned arenas need no pool
    check_cuda(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, ordinal), "cudaDeviceGetAttribute");
    if (supported == 0) return;
    cudaMemPool_t pool = nullptr;
    check_cuda(cudaDeviceGetDefaultMemPool(&pool, ordinal), "cudaDeviceGetDefaultMemPool");
    std::uint64_t everything = UINT64_MAX;
    check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything), "cudaMemPoolSetAttribute");
}

}  // namespace

CudaDevice::CudaDevice(GpuOptions options) : options_(std::move(options)), ledger_(used_now, options_.used_before) {
    std::string reason = "none is visible";
    const int devices = count_gpus(&reason);
    if (options_.ordinal >= devices) throw EnvironmentError(fmt::format("CUDA device {} was asked for; {} are here: {}", options_.ordinal, devices, reason));
    check_cuda(cudaSetDevice(options_.ordinal), "cudaSetDevice");
    check_cuda(cudaFree(nullptr), "making a context");   // before CUDA 12 cudaSetDevice alone made none
    int major = 0;
    check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, options_.ordinal), "cudaDeviceGetAttribute");
    tensor_cores_ = major >= kAmpere;
    blas_workspace_ = major >= kHopper ? kHopperWorkspace : kOlderWorkspace;
    keep_freed_memory(options_.ordinal);
    for (const auto& stream : options_.streams) {
        streams_.emplace_back();
        streams_.back().handle = make_stream(stream.communication);
    }
    ledger_.context_made();
    ledger_.memory().shared = options_.shared;
    for (std::size_t i = 0; i < options_.pools.size(); ++i) {
        PoolState& pool = pools_.emplace_back();
        if (options_.arena_bytes.empty()) continue;
        pool.arena_bytes = options_.arena_bytes[i];
        const std::string what = fmt::format("the arena of pool {} ({} bytes)", options_.pools[i].name, pool.arena_bytes);
        ledger_.during(DriverPart::pools, [&] {
            if (options_.arena_memory && pool.arena_bytes > 0) pool.arena = options_.arena_memory(pool.arena_bytes);
            else pool.arena = make_device_memory(pool.arena_bytes, what);
        });
    }
}

/// States live to the end of a run, and nobody gives them back: arenas go whole, what was allocated in stream order goes here.
CudaDevice::~CudaDevice() {
    static_cast<void>(cudaDeviceSynchronize());
    if (!options_.arena_bytes.empty()) return;
    for (const PoolState& pool : pools_)
        for (const auto& [address, bytes] : pool.live) static_cast<void>(cudaFree(reinterpret_cast<void*>(address)));
}

std::byte* CudaDevice::allocate(PoolId id, std::int64_t bytes, std::int64_t planned_offset) {
    PoolState& pool = pools_[id.index()];
    std::byte* data = nullptr;
    if (planned_offset >= 0) {
        check(planned_offset + bytes <= pool.arena_bytes, "a planned range lies beyond its arena");
        const auto next = pool.live.lower_bound(planned_offset);
        check(bytes == 0 || next == pool.live.end() || planned_offset + bytes <= next->first, "a planned range overlaps the next one");
        check(bytes == 0 || next == pool.live.begin() || std::prev(next)->first + std::prev(next)->second <= planned_offset, "a planned range overlaps the one before");
        if (bytes > 0) pool.live.emplace(planned_offset, bytes);
        data = pool.arena.get() + planned_offset;
    } else if (bytes > 0) {
        void* memory = nullptr;
        check_cuda(cudaMallocAsync(&memory, static_cast<std::size_t>(bytes), streams_[options_.pools[id.index()].owner.index()].handle.get()),
                   fmt::format("{} bytes of pool {}", bytes, options_.pools[id.index()].name));
        data = static_cast<std::byte*>(memory);
        pool.live.emplace(reinterpret_cast<std::int64_t>(memory), bytes);
    }
    const std::int64_t now = handed_out_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    peak_.store(std::max(peak_.load(std::memory_order_relaxed), now), std::memory_order_relaxed);
    return data;
}

void CudaDevice::release(PoolId id, std::byte* data, std::int64_t bytes) {
    PoolState& pool = pools_[id.index()];
    if (pool.arena_bytes > 0 || !options_.arena_bytes.empty()) {
        if (bytes > 0) {
            const auto found = pool.live.find(data - pool.arena.get());
            check(found != pool.live.end() && found->second == bytes, "released memory was not handed out with this size");
            pool.live.erase(found);
        }
    } else if (bytes > 0) {
        pool.live.erase(reinterpret_cast<std::int64_t>(data));
        check_cuda(cudaFreeAsync(data, streams_[options_.pools[id.index()].owner.index()].handle.get()), "cudaFreeAsync");
    }
    handed_out_.fetch_sub(bytes, std::memory_order_relaxed);
}

CudaDevice::Staging& CudaDevice::staging_of(std::int64_t bytes) {
    if (staging_.size() < kStagings) staging_.resize(kStagings);
    Staging& staging = staging_[next_staging_++ % kStagings];
    if (staging.used) check_cuda(cudaEventSynchronize(staging.used.get()), "an upload");
    else staging.used = make_cuda_event(false);
    if (staging.bytes < bytes) {
        staging.memory = make_pinned_memory(bytes);
        staging.bytes = bytes;
    }
    return staging;
}

void CudaDevice::upload(const void* source, void* destination, std::int64_t bytes) {
    if (bytes == 0) return;
    Staging& staging = staging_of(bytes);
    std::memcpy(staging.memory.get(), source, static_cast<std::size_t>(bytes));
    check_cuda(cudaMemcpyAsync(destination, staging.memory.get(), static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync to the device");
    check_cuda(cudaEventRecord(staging.used.get(), stream()), "cudaEventRecord");
}

void CudaDevice::download(const void* source, void* destination, std::int64_t bytes) {
    if (bytes == 0) return;
    check_cuda(cudaMemcpyAsync(destination, source, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync to the host");
    check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
}

cuda::LaunchContext CudaDevice::context() {
    StreamState& state = streams_[current_];
    if (!state.scratch) ledger_.during(DriverPart::libraries, [&] { state.scratch = make_device_memory(cuda::kScratchBytes, "scratch of kernels"); });
    return {state.handle.get(), state.scratch.get(), tensor_cores_};
}

void CudaDevice::launch(const KernelCall& call) {
    const bool product = call.kernel == kernel::Kernel::linear_forward || call.kernel == kernel::Kernel::linear_backward_input || call.kernel == kernel::Kernel::linear_backward_weight;
    if (!product) return cuda::run_kernel(call, context());
    StreamState& state = streams_[current_];
    if (!state.blas) ledger_.during(DriverPart::libraries, [&] { state.blas = std::make_unique<CudaBlas>(blas_workspace_); });
    state.blas->run(call, context());
}

void CudaDevice::copy(const TensorView& source, const TensorView& destination, bool accumulate) { cuda::copy(source, destination, accumulate, context()); }
void CudaDevice::fill(const TensorView& destination, double value) {
    if (destination.elements() > 0) cuda::fill(destination, value, context());
}

CudaDevice::Event CudaDevice::make_event(bool timed) {
    events_.push_back(make_cuda_event(timed));
    return static_cast<Event>(events_.size() - 1);
}
void CudaDevice::record(Event event) { check_cuda(cudaEventRecord(events_[event].get(), stream()), "cudaEventRecord"); }
void CudaDevice::wait(Event event) { check_cuda(cudaStreamWaitEvent(stream(), events_[event].get()), "cudaStreamWaitEvent"); }

bool CudaDevice::done(Event event) {
    const cudaError_t status = cudaEventQuery(events_[event].get());
    if (status == cudaErrorNotReady) return false;
    check_cuda(status, "the work before an event");
    return true;
}

double CudaDevice::seconds_between(Event begin, Event end) {
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, events_[begin].get(), events_[end].get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
}

void CudaDevice::hold(double seconds) {
    if (seconds > 0) cuda::spin(seconds, context());
}

/// Without arenas the pools are the driver's own, whose size it tells itself.
DriverLedger* CudaDevice::driver_ledger() {
    if (options_.arena_bytes.empty()) {
        cudaMemPool_t pool = nullptr;
        std::uint64_t reserved = 0;
        if (cudaDeviceGetDefaultMemPool(&pool, options_.ordinal) == cudaSuccess && cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved) == cudaSuccess)
            ledger_.memory().parts[static_cast<std::size_t>(DriverPart::pools)] = static_cast<std::int64_t>(reserved);
    }
    return &ledger_;
}

std::vector<std::string> CudaDevice::remarks() const {
    std::set<std::string> products;                      // of all streams
    for (const StreamState& state : streams_)
        if (state.blas) products.insert(state.blas->plain_products().begin(), state.blas->plain_products().end());
    std::vector<std::string> lines;
    for (const std::string& product : products) lines.push_back(fmt::format("cuBLASLt has no algorithm for {}: a plain kernel without tensor cores computed it, slowly", product));
    return lines;
}

void CudaDevice::begin_range(std::string_view name) { nvtxRangePushA(std::string(name).c_str()); }
void CudaDevice::end_range() { nvtxRangePop(); }

}  // namespace zerosim::device
