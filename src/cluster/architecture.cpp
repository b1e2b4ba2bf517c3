#include "cluster/architecture.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"

#include <fmt/core.h>

#include <array>
#include <utility>

namespace zerosim::cluster {
namespace {

// Resident threads: CUDA programming guide, compute capabilities (1,024 on 7.5, 2,048 on 7.0, 8.0, 9.0 and 10.0, 1,536 on 8.6, 8.9, 12.0); AMD: 32 waves
// of 64 on a compute unit (CDNA 2 and 3 ISA). Multiprocessors: V100 80, T4 40, A100 108, A40 84, L40S 142, H200 132, B200 148, RTX PRO 6000 188; one
// die of MI250X 110 compute units, MI300X and MI325X 304 (the makers' data sheets).
constexpr std::array<Architecture, 10> kArchitectures{{
    {"sm_70", 70, 80, 2048},
    {"sm_75", 75, 40, 1024},
    {"sm_80", 80, 108, 2048},
    {"sm_86", 86, 84, 1536},
    {"sm_89", 89, 142, 1536},
    {"sm_90", 90, 132, 2048},
    {"sm_100", 100, 148, 2048},
    {"sm_120", 120, 188, 1536},
    {"gfx90a", 0, 110, 2048},
    {"gfx942", 0, 304, 2048},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kOfGeneration{{
    {"ampere", "sm_80"}, {"ampere-8.6", "sm_86"}, {"ada", "sm_89"}, {"hopper", "sm_90"}, {"blackwell", "sm_100"}, {"blackwell-12.0", "sm_120"},
}};

const Architecture* find(std::string_view name) {
    for (const Architecture& known : kArchitectures)
        if (known.name == name) return &known;
    return nullptr;
}

} // namespace

const Architecture* architecture(const DeviceSpec& device) {
    if (!device.architecture.empty()) return find(device.architecture);
    for (const auto& [generation, name] : kOfGeneration)
        if (device.generation == generation) return find(name);
    return nullptr;
}

void set_architecture(DeviceSpec& device, std::string_view name) {
    if (find(name) == nullptr) throw ConfigError(fmt::format("device.architecture '{}' is unknown{}", name, did_you_mean(name, architecture_names())));
    device.architecture = name;
}

std::vector<std::string> architecture_names() {
    std::vector<std::string> names;
    for (const Architecture& known : kArchitectures) names.emplace_back(known.name);
    return names;
}

} // namespace zerosim::cluster
