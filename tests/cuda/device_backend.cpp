#include "cuda/kernel_case.hpp"
#include "device/gpu.hpp"

namespace zerosim::device::test {

std::string no_cuda_because() {
    std::string reason;
    return count_gpus(&reason) > 0 ? "" : "no GPU: " + reason;
}
bool has_matrix_products() { return true; }

void run_on_cuda(const KernelCase& test, Contents& contents) {
    GpuOptions options;
    options.streams = {{false}};
    options.pools = {{"test", StreamId{0}}};
    const auto gpu = make_gpu(options);
    gpu->use(StreamId{0});
    std::vector<std::byte*> storage;
    for (const auto& bytes : contents) {
        const auto size = static_cast<std::int64_t>(bytes.size());
        storage.push_back(gpu->allocate(PoolId{0}, size, -1));
        gpu->upload(bytes.data(), storage.back(), size);
    }
    gpu->launch({test.kernel, test.attributes, views_of(test, storage), test.range, {}, {}});
    for (std::size_t i = 0; i < contents.size(); ++i) {
        const auto size = static_cast<std::int64_t>(contents[i].size());
        gpu->download(storage[i], contents[i].data(), size);
        gpu->release(PoolId{0}, storage[i], size);
    }
}

}  // namespace zerosim::device::test
