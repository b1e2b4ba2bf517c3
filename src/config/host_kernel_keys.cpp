#include "config/host_kernel_keys.hpp"

#include <fmt/core.h>

namespace zerosim::config {
namespace {

using cluster::HostKernel;
using cluster::Pace;

constexpr double kPico = 1e-12, kNano = 1e-9;

/// Calls visit(name without the section, unit, value) for every key.
template <class Kernels, class Visit> void for_each_key(Kernels& kernels, const Visit& visit) {
    for (std::size_t i = 0; i < cluster::kHostKernels; ++i)
        for (const bool two_bytes : {false, true}) {
            auto& pace = kernels.pace(static_cast<HostKernel>(i), two_bytes);
            const std::string name = std::string(cluster::kHostKernelNames[i]) + (two_bytes ? "-bf16" : "");
            visit(name + "-picoseconds", kPico, pace.element_seconds);
            visit(name + "-row-nanoseconds", kNano, pace.row_seconds);
        }
}

constexpr std::string_view kSection = "kernel.";

} // namespace

std::vector<std::string> host_kernel_keys() {
    std::vector<std::string> keys;
    const cluster::HostKernels none;
    for_each_key(none, [&](const std::string& name, double, double) { keys.push_back(std::string(kSection) + name); });
    return keys;
}

bool set_host_kernel(cluster::HostKernels& kernels, std::string_view key, double value) {
    bool found = false;
    for_each_key(kernels, [&](const std::string& name, double unit, double& place) {
        if (!key.starts_with(kSection) || key.substr(kSection.size()) != name) return;
        place = value * unit;
        found = true;
    });
    return found;
}

std::string host_kernel_text(const cluster::HostKernels& kernels) {
    std::string text;
    for_each_key(kernels, [&](const std::string& name, double unit, double value) {
        if (value > 0) text += fmt::format("{} = {:.6g}\n", name, value / unit);
    });
    return text;
}

} // namespace zerosim::config
