// resolve(): command line, environment and files become a Scenario and RunOptions, each value with its origin.
// Called by the subcommands that plan, simulate or run.
// Prints nothing, asks the machine nothing (the caller says what it offers), and never drops an asked value: it is applied or
// refused.
#pragma once

#include "base/transport.hpp"
#include "cluster/residuals.hpp"
#include "config/search_paths.hpp"
#include "config/values.hpp"
#include "strategy/scenario.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::config {

enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
enum class Compute : std::uint8_t { real, synthetic };
enum class Arena : std::uint8_t { planned, caching };
enum class Format : std::uint8_t { table, json, csv };

/// --inject rank:op:action. `op` is a name or a position in the program.
enum class FaultAction : std::uint8_t { fail, hang, slow, exit };
struct Fault {
    std::int64_t rank = 0;
    std::string op;
    FaultAction action = FaultAction::fail;
};

/// What concerns the run and its report, not the schedule.
struct RunOptions {
    DeviceChoice device = DeviceChoice::automatic;
    Compute compute = Compute::real;
    Arena arena = Arena::planned;
    double timeout_seconds = 120;
    std::optional<Fault> inject;
    bool trace = true;
    bool share_device = false, register_buffers = false;
    Transport transport = Transport::automatic;
    bool check_numerics = false;
    bool explain = false, estimators = false;
    bool sensitivity = false;
    std::string maximize, minimize; // an option's key; "" = not asked
    std::string fail_if; // "" = nothing asked
    std::optional<double> tolerance;
    Format format = Format::table;
    std::string output, perfetto; // "" = stdout; none
    bool show_schedule = false, show_partition = false;
    bool ranks_given = false; // `ranks` was set by the user
};

/// What the machine and the launcher offer.
struct Machine {
    int cores = 1;                              // that this process may use
    bool cuda = false;                          // the build has a CUDA device and one is here
    std::string no_cuda = "not looked for";     // why there is none
    std::string gpu_name;                       // as the driver calls the first one
    std::optional<std::int64_t> launched_ranks; // MPI's world size, under a launcher
    std::optional<std::int64_t> local_ranks;    // of them on this node; default: all ranks
};

struct Resolved {
    strategy::Scenario scenario;
    RunOptions run;
    std::vector<Value> values; // every key of a scenario or a run, in the order of the table
    std::vector<std::string> positionals;
    std::vector<std::string> warnings; // unknown variables
    std::optional<cluster::Residuals> residuals; // of the calibration, for the cluster at hand
    std::vector<std::string> notes;    // what a model file says and is not applied
    std::vector<std::string> unused;   // keys of a DeepSpeed file that change nothing here
};

/// Throws ConfigError, naming origin, key, value and what would be right; EnvironmentError for a device that is not there.
[[nodiscard]] Resolved resolve(const Request& request, const SearchPaths& paths, const Machine& machine);

/// The first half: values as asked, nothing that follows from them. `--explain` and `--max` change one and resolve again.
[[nodiscard]] Reading read_scenario(const Request& request, const SearchPaths& paths);

/// The second half, for values made otherwise (`compare` of two strategies).
[[nodiscard]] Resolved resolve(Command command, Values values, const SearchPaths& paths, const Machine& machine);

[[nodiscard]] Format format_of(const Values& values);

} // namespace zerosim::config
