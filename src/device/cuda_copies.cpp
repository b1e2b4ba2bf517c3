#include "base/error.hpp"
#include "device/cuda_handles.hpp"
#include "device/gpu_copies.hpp"

#include <cstring>

namespace zerosim::device {
namespace {

/// Makes a device current, and the one before it again at the end.
class CurrentDevice {
public:
    explicit CurrentDevice(int ordinal) {
        check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
        check_cuda(cudaSetDevice(ordinal), "cudaSetDevice");
    }
    ~CurrentDevice() { static_cast<void>(cudaSetDevice(before_)); }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

private:
    int before_ = 0;
};

/// Both ends of a copy; pages are touched, so that the first copy pays for none.
struct Ends {
    DeviceMemory on_device, other_device;
    PinnedMemory pinned;
    std::vector<std::byte> pageable;
    void *from = nullptr, *to = nullptr;
};

Ends ends_of(CopyPath path, int other, std::int64_t bytes) {
    Ends ends;
    ends.on_device = make_device_memory(bytes, "the buffer of a copy");
    std::byte* host = nullptr;
    if (path == CopyPath::pinned_to_device || path == CopyPath::pinned_from_device) {
        ends.pinned = make_pinned_memory(bytes);
        host = ends.pinned.get();
    } else if (path == CopyPath::pageable_to_device || path == CopyPath::pageable_from_device) {
        ends.pageable.resize(static_cast<std::size_t>(bytes));
        host = ends.pageable.data();
    }
    if (host != nullptr) {
        std::memset(host, 1, static_cast<std::size_t>(bytes));
        const bool up = path == CopyPath::pinned_to_device || path == CopyPath::pageable_to_device;
        ends.from = up ? host : ends.on_device.get();
        ends.to = up ? ends.on_device.get() : host;
        return ends;
    }
    {
        const CurrentDevice there(other);
        ends.other_device = make_device_memory(bytes, "the other buffer of a copy");
    }
    ends.from = ends.on_device.get();
    ends.to = ends.other_device.get();
    return ends;
}

/// As NCCL and PyTorch use NVLink and PCIe: each device sees the other's memory. Staged through the host where they cannot.
void allow_peer(int from, int to) {
    int reaches = 0;
    check_cuda(cudaDeviceCanAccessPeer(&reaches, from, to), "cudaDeviceCanAccessPeer");
    if (reaches == 0) return;
    const cudaError_t status = cudaDeviceEnablePeerAccess(to, 0);
    if (status == cudaErrorPeerAccessAlreadyEnabled) static_cast<void>(cudaGetLastError());
    else check_cuda(status, "cudaDeviceEnablePeerAccess");
}

}  // namespace

std::vector<double> time_copies(CopyPath path, int from, int to, std::int64_t bytes, int repeats) {
    check(bytes > 0, "a copy of nothing has no rate");
    const CurrentDevice here(from);
    const bool between = path == CopyPath::between;
    if (between && from != to) allow_peer(from, to);
    const CudaStream stream = make_stream(false);
    const CudaEvent begin = make_cuda_event(true), end = make_cuda_event(true);
    const Ends ends = ends_of(path, between ? to : from, bytes);
    std::vector<double> seconds;
    for (int i = -1; i < repeats; ++i) {
        check_cuda(cudaEventRecord(begin.get(), stream.get()), "cudaEventRecord");
        check_cuda(cudaMemcpyAsync(ends.to, ends.from, static_cast<std::size_t>(bytes), cudaMemcpyDefault, stream.get()), "cudaMemcpyAsync");
        check_cuda(cudaEventRecord(end.get(), stream.get()), "cudaEventRecord");
        check_cuda(cudaEventSynchronize(end.get()), "a timed copy");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
        if (i >= 0) seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
    }
    return seconds;
}

}  // namespace zerosim::device
