// The part of the CUDA runtime that device/cuda_* calls, on the host: memory is the host's, streams finish their work when somebody looks. For tests of
// CudaDevice where there is no GPU. It refuses what CUDA refuses, in CUDA's words of error: times of events without timing, or not recorded, or not
// reached by anything that was waited for; pointers and handles that are not its own. Memory begins full of rubbish.
// Runs no kernel: those are the emulated grid's.
#include "support/fake_cudart.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

/// A point of a stream: reached when it is looked at the second time, and with it all before it.
struct Point {
    Clock::time_point time;
    bool reached = false, looked_at = false;
    std::vector<std::shared_ptr<Point>> before;
};
void reach(const std::shared_ptr<Point>& last) {
    std::vector<std::shared_ptr<Point>> open{last};
    while (!open.empty()) {
        const std::shared_ptr<Point> point = std::move(open.back());
        open.pop_back();
        if (point == nullptr || point->reached) continue;
        point->reached = true;
        std::ranges::move(point->before, std::back_inserter(open));
        point->before.clear();
    }
}

struct Stream {
    std::shared_ptr<Point> last;
};
struct Event {
    bool timed = false;
    std::shared_ptr<Point> point;
};

/// The driver's state of a process.
struct Driver {
    std::map<void*, std::size_t> device, stream_ordered, pinned;
    std::set<Stream*> streams;
    std::set<Event*> events;
    int errors = 0, current = 0;
    cudaError_t last = cudaSuccess;
};
Driver& driver() {
    static Driver all;
    return all;
}
cudaError_t refused(cudaError_t status) {
    ++driver().errors;
    driver().last = status;
    return status;
}

/// What a test says of this process in its environment.
long number_of(const char* variable, long otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::atol(text);
}
constexpr std::chrono::seconds kSlowContext{6};

cudaError_t allocate(std::map<void*, std::size_t>& from, void** data, std::size_t bytes) {
    constexpr std::size_t kAlignment = 256;
    constexpr int kRubbish = 0xcd;
    *data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    std::memset(*data, kRubbish, bytes);
    from.emplace(*data, bytes);
    return cudaSuccess;
}
cudaError_t release(std::map<void*, std::size_t>& from, void* data) {
    if (data == nullptr) return cudaSuccess;
    if (from.erase(data) == 0) return refused(cudaErrorInvalidValue);
    std::free(data);
    return cudaSuccess;
}
Stream* stream_of(cudaStream_t handle) {
    auto* const stream = reinterpret_cast<Stream*>(handle);
    return driver().streams.contains(stream) ? stream : nullptr;
}
Event* event_of(cudaEvent_t handle) {
    auto* const event = reinterpret_cast<Event*>(handle);
    return driver().events.contains(event) ? event : nullptr;
}
void advance(Stream& stream, std::shared_ptr<Point> also = nullptr) {
    auto point = std::make_shared<Point>();
    point->time = Clock::now();
    if (stream.last != nullptr) point->before.push_back(stream.last);
    if (also != nullptr) point->before.push_back(std::move(also));
    stream.last = std::move(point);
}

}  // namespace

namespace zerosim::test {

int fake_cudart_errors() { return driver().errors; }
std::size_t fake_cudart_live() {
    const Driver& d = driver();
    return d.device.size() + d.stream_ordered.size() + d.pinned.size() + d.streams.size() + d.events.size();
}

}  // namespace zerosim::test

extern "C" {

const char* cudaGetErrorString(cudaError_t) { return "refused by the runtime of the tests"; }
const char* cudaGetErrorName(cudaError_t status) { return status == cudaErrorNotReady ? "cudaErrorNotReady" : "an error"; }
cudaError_t cudaGetLastError() { return std::exchange(driver().last, cudaSuccess); }

/// Two, or as many as CUDA_VISIBLE_DEVICES names.
cudaError_t cudaGetDeviceCount(int* count) {
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    *count = visible == nullptr ? 2 : std::min(2, static_cast<int>(1 + std::ranges::count(std::string(visible), ',')));
    return cudaSuccess;
}
/// For the tests' NCCL, which is told of buffers alone.
bool fake_cudart_owns(const void* data, std::size_t bytes) {
    const auto* const begin = static_cast<const char*>(data);
    const auto holds = [&](const std::map<void*, std::size_t>& allocations) {
        auto found = allocations.upper_bound(const_cast<void*>(data));
        if (found == allocations.begin()) return false;
        --found;
        return begin + bytes <= static_cast<const char*>(found->first) + found->second;
    };
    return holds(driver().device) || holds(driver().stream_ordered);
}
cudaError_t cudaGetDevice(int* device) { return *device = driver().current, cudaSuccess; }
cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device > 1) return refused(cudaErrorInvalidDevice);
    driver().current = device;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 1;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    std::memset(properties, 0, sizeof *properties);
    std::strcpy(properties->name, "NVIDIA H200");
    properties->totalGlobalMem = std::size_t{1} << 30;
    properties->major = 9;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
    const std::string id = device == 0 ? "0000:1B:00.0" : "0000:2B:00.0";
    if (length <= static_cast<int>(id.size())) return refused(cudaErrorInvalidValue);
    std::strcpy(text, id.c_str());
    return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* reaches, int, int) { return *reaches = 1, cudaSuccess; }
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned flags) { return flags == 0 ? cudaSuccess : refused(cudaErrorInvalidValue); }
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) { return *least = 0, *greatest = -5, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    std::size_t used = 0;
    for (const auto& [data, bytes] : driver().device) used += bytes;
    *total = static_cast<std::size_t>(number_of("FAKE_CUDA_BYTES", 1 << 30));
    *free = *total - std::min(used, *total);
    return cudaSuccess;
}
cudaError_t cudaMalloc(void** data, std::size_t bytes) { return allocate(driver().device, data, bytes); }
cudaError_t cudaFree(void* data) {
    if (data == nullptr && number_of("FAKE_CUDA_SLOW_RANK", -1) == number_of("OMPI_COMM_WORLD_RANK", 0)) std::this_thread::sleep_for(kSlowContext);   // it makes the context
    return release(driver().stream_ordered.contains(data) ? driver().stream_ordered : driver().device, data);
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes) { return allocate(driver().pinned, data, bytes); }
cudaError_t cudaFreeHost(void* data) { return release(driver().pinned, data); }
cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
    return stream_of(stream) == nullptr ? refused(cudaErrorInvalidResourceHandle) : allocate(driver().stream_ordered, data, bytes);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
    return stream_of(stream) == nullptr ? refused(cudaErrorInvalidResourceHandle) : release(driver().stream_ordered, data);
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) { return *pool = nullptr, cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void*) { return attribute == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : refused(cudaErrorInvalidValue); }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) { return *static_cast<std::uint64_t*>(value) = 0, cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t handle) {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr || to == nullptr || from == nullptr) return refused(cudaErrorInvalidValue);
    std::memmove(to, from, bytes);
    advance(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int priority) {
    if (flags > cudaStreamNonBlocking || priority > 0 || priority < -5) return refused(cudaErrorInvalidValue);
    auto* const stream = new Stream;
    driver().streams.insert(stream);
    *handle = reinterpret_cast<cudaStream_t>(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr) return refused(cudaErrorInvalidResourceHandle);
    driver().streams.erase(stream);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    Stream* const stream = stream_of(handle);
    if (stream == nullptr) return refused(cudaErrorInvalidResourceHandle);
    reach(stream->last);
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    for (const Stream* stream : driver().streams) reach(stream->last);
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t waited, unsigned flags) {
    Stream* const stream = stream_of(handle);
    const Event* const event = event_of(waited);
    if (stream == nullptr || event == nullptr || flags != 0) return refused(cudaErrorInvalidResourceHandle);
    if (event->point != nullptr) advance(*stream, event->point);   // one never recorded is done
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
    auto* const event = new Event{(flags & cudaEventDisableTiming) == 0, nullptr};
    driver().events.insert(event);
    *handle = reinterpret_cast<cudaEvent_t>(event);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    Event* const event = event_of(handle);
    if (event == nullptr) return refused(cudaErrorInvalidResourceHandle);
    driver().events.erase(event);
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t on) {
    Event* const event = event_of(handle);
    Stream* const stream = stream_of(on);
    if (event == nullptr || stream == nullptr) return refused(cudaErrorInvalidResourceHandle);
    advance(*stream);
    event->point = stream->last;
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
    const Event* const event = event_of(handle);
    if (event == nullptr) return refused(cudaErrorInvalidResourceHandle);
    if (event->point == nullptr || event->point->reached) return cudaSuccess;
    if (!std::exchange(event->point->looked_at, true)) return cudaErrorNotReady;   // no error: cudaGetLastError does not report it (CUDA Programming Guide, "Error Checking")
    reach(event->point);
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    const Event* const event = event_of(handle);
    if (event == nullptr) return refused(cudaErrorInvalidResourceHandle);
    reach(event->point);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    const Event *const from = event_of(begin), *const to = event_of(end);
    if (from == nullptr || to == nullptr || !from->timed || !to->timed || from->point == nullptr || to->point == nullptr) return refused(cudaErrorInvalidResourceHandle);
    if (!from->point->reached || !to->point->reached) return refused(cudaErrorNotReady);
    *milliseconds = std::chrono::duration<float, std::milli>(to->point->time - from->point->time).count();
    return cudaSuccess;
}

}  // extern "C"
