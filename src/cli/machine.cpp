#include "cli/machine.hpp"

#include "base/units.hpp"
#include "cli/control_group.hpp"
#include "device/gpu.hpp"

#include <fmt/core.h>

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

namespace zerosim::cli {
namespace {

/// The first word of a file, or "".
std::string first_word(const char* path) {
    std::ifstream file(path);
    std::string word;
    file >> word;
    return word;
}

std::int64_t mem_available() {
    std::ifstream file("/proc/meminfo");
    std::string key, unit;
    std::int64_t kib = 0;
    while (file >> key >> kib) {
        std::getline(file, unit);
        if (key == "MemAvailable:") return kib * 1024;
    }
    return 0;
}

} // namespace

int available_cores() {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    int cores = sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 1;
    if (const auto quota = control_group_room().cores) cores = std::min(cores, static_cast<int>(std::ceil(*quota)));
    return std::max(1, cores);
}

std::int64_t available_memory() {
    std::int64_t memory = mem_available();
    if (const auto left = control_group_room().memory) memory = std::min(memory, *left);
    return memory;
}

std::optional<std::int64_t> address_space_left() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur > static_cast<rlim_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt; // RLIM_INFINITY is the largest
    const std::int64_t taken = parse_integer(first_word("/proc/self/statm")).value_or(0) * sysconf(_SC_PAGESIZE); // its first word: pages (proc(5))
    return std::max<std::int64_t>(0, static_cast<std::int64_t>(limit.rlim_cur) - taken);
}

std::int64_t last_level_cache() {
    std::map<std::string, std::int64_t> bytes_by_cores; // cores that share one: "0-7"
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        for (const int level : {3, 2}) { // index2 is the second level, index3 the third where there is one
            const std::string folder = fmt::format("/sys/devices/system/cpu/cpu{}/cache/index{}/", cpu, level);
            const std::string size = first_word((folder + "size").c_str()); // "32768K"
            if (size.empty()) continue;
            const auto kib = parse_integer(std::string_view(size).substr(0, size.size() - 1));
            if (kib && size.ends_with('K')) bytes_by_cores[first_word((folder + "shared_cpu_list").c_str())] = *kib * 1024;
            break;
        }
    }
    std::int64_t total = 0;
    for (const auto& [cores, bytes] : bytes_by_cores) total += bytes;
    return total;
}

std::int64_t own_cache() {
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); // 0 or -1: unknown
    return bytes > 0 ? bytes : 0;
}

std::string host_name() {
    char name[256] = "unknown host";
    (void)::gethostname(name, sizeof name - 1);
    return name;
}

config::Machine this_machine(const std::map<std::string, std::string>& environment) {
    config::Machine machine;
    machine.cores = available_cores();
    for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}) {
        const auto found = environment.find(variable);
        const auto ranks = found == environment.end() ? std::nullopt : parse_integer(found->second);
        if (ranks && *ranks > 0) machine.local_ranks = *ranks;
    }
    return machine;
}

config::Machine machine_with_gpus(const std::map<std::string, std::string>& environment) {
    config::Machine machine = this_machine(environment);
    machine.cuda = device::count_gpus(&machine.no_cuda) > 0;
    if (machine.cuda) machine.gpu_name = device::list_gpus().front().name;
    return machine;
}

} // namespace zerosim::cli
