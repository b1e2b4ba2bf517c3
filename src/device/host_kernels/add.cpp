#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

namespace zerosim::device::host {

void add(const KernelCall& call) {
    const TensorView &a = call.operands[0], &b = call.operands[1], &out = call.operands[2];
    for_each_block(call.context.workers, {a, b, out}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block x, y;
        load_block(a, row, column, count, x);
        load_block(b, row, column, count, y);
        for (std::int64_t i = 0; i < padded(count); ++i) x[i] += y[i];
        store_block(x, out, row, column, count);
    });
}

} // namespace zerosim::device::host
