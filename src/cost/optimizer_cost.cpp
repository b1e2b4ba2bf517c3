// Fused (torch/optim/adamw.py, _fused_adamw; bitsandbytes' 8-bit blockwise kernels): one kernel; parameter and states are read and
// written, the gradient is read. An 8-bit state is a byte. On an H200 0.72 of the bandwidth (tests/truth/time, adamw fused).
// Foreach (the same file, _multi_tensor_adamw): mul, lerp, mul, addcmul, sqrt, div, add, addcdiv, each over all tensors: 20 accesses an
// element where fused has 7, at the rate of element-wise kernels; 75 bytes measured where this says 80 (adamw foreach).
#include "cost/optimizer_cost.hpp"

namespace zerosim::cost {
namespace {

using kernel::Kernel;
using schedule::Program;

struct Traffic {
    double bytes = 0, elements = 0;
    void access(const Program& program, TensorId id, double times) {
        if (!id.valid()) return;
        const schedule::Tensor& tensor = program.tensor(id);
        bytes += times * static_cast<double>(tensor.elements() * size_of(tensor.dtype));
    }
};

/// Accesses of parameter, states and gradient.
Traffic adam_traffic(const Program& program, const schedule::Op& op, bool foreach) {
    constexpr std::size_t kGroup = 5; // parameter, m, v, gradient, step
    Traffic traffic;
    const auto operands = program.operands_of(op);
    for (std::size_t i = 0; i + kGroup <= operands.size(); i += kGroup) {
        if (!operands[i].valid()) continue; // a rank without a part of it
        traffic.elements += static_cast<double>(program.tensor(operands[i]).elements());
        traffic.access(program, operands[i], foreach ? 4 : 2);
        traffic.access(program, operands[i + 1], foreach ? 3 : 2);
        traffic.access(program, operands[i + 2], foreach ? 5 + 6 : 2); // foreach: and its root, a temporary as large
        traffic.access(program, operands[i + 3], foreach ? 2 : 1);
    }
    return traffic;
}

Traffic sgd_traffic(const Program& program, const schedule::Op& op) {
    constexpr std::size_t kGroup = 3; // parameter, momentum, gradient
    Traffic traffic;
    const auto operands = program.operands_of(op);
    for (std::size_t i = 0; i + kGroup <= operands.size(); i += kGroup) {
        if (!operands[i].valid()) continue; // a rank without a part of it
        traffic.elements += static_cast<double>(program.tensor(operands[i]).elements());
        traffic.access(program, operands[i], 2);
        traffic.access(program, operands[i + 1], 2);
        traffic.access(program, operands[i + 2], 1);
    }
    return traffic;
}

} // namespace

bool is_update_of_tensors(const schedule::Op& op, const cluster::Cluster& cluster) {
    const bool many = op.kernel == Kernel::adamw_tensors || op.kernel == Kernel::sgd_tensors;
    return many && !cluster.device.is_cpu && cluster.software.optimizer_bytes_per_parameter == 0;
}

double update_seconds(const Program& program, const schedule::Op& op, const cluster::Cluster& cluster, double speed) {
    const kernel::Attributes& attributes = program.attributes_of(op);
    const bool foreach = attributes.accumulate_second; // several kernels over the temporary root of the second moments
    const Traffic traffic = op.kernel == Kernel::adamw_tensors ? adam_traffic(program, op, foreach) : sgd_traffic(program, op);
    if (traffic.elements <= 0) return cluster.device.kernel_launch_seconds;
    const cluster::MemoryEfficiency& memory = cluster.software.memory;
    const double known = foreach ? memory.elementwise : memory.optimizer;
    const double efficiency = known > 0 ? known : cluster.device.memory_efficiency;
    // Tensors that straddle shards are updated in part: by the elements that are this rank's.
    const double bytes = traffic.bytes / traffic.elements * static_cast<double>(attributes.tokens);
    return cluster.device.kernel_launch_seconds * (foreach ? 8 : 1) + bytes / (cluster.device.memory_bytes_per_second * efficiency * speed);
}

} // namespace zerosim::cost
