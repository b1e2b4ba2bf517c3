#include "cli/collectives/other_work.hpp"

#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "kernel/work.hpp"

namespace zerosim::cli {
namespace {

constexpr std::int64_t kWidth = 64; // of rows that are read, and of those that are written: memory's time, not arithmetic's

} // namespace

OtherWork::OtherWork(std::int64_t bytes) {
    attributes_.tokens = bytes / (2 * kWidth * size_of(DType::fp32));
    attributes_.in = attributes_.out = kWidth;
    if (none()) return;
    const auto add = [this](std::int64_t rows, std::int64_t columns) {
        operands_.push_back({memory_.allocate(rows * columns * size_of(DType::fp32), -1), rows, columns, columns, DType::fp32});
        device::host::fill(nullptr, operands_.back(), 0.5);
    };
    const std::int64_t workspace = kernel::workspace_bytes(kernel::Kernel::linear_forward, attributes_, DType::fp32, kernel::Library::host, 1);
    add(attributes_.tokens, kWidth);
    add(kWidth, kWidth);
    operands_.emplace_back(); // no bias
    if (workspace > 0) add(1, workspace / size_of(DType::fp32));
    else operands_.emplace_back();
    add(attributes_.tokens, kWidth);
}

void OtherWork::run() {
    if (none()) return;
    const std::vector<device::RangeSegment> range{{0, attributes_.tokens}};
    device::host::run_kernel({kernel::Kernel::linear_forward, attributes_, operands_, range, {0, 1, 0, &workers_}});
}

} // namespace zerosim::cli
