#include "cli/style.hpp"

#include <unistd.h>

namespace zerosim::cli {

report::Style output_style(const std::map<std::string, std::string>& environment, const std::string& output, bool terminal) {
    if (!terminal || !(output.empty() || output == "-")) return report::Style::plain;
    // NO_COLOR: no-color.org; the others are what Open MPI, MPICH and Slurm set for each process they launch.
    for (const char* variable : {"NO_COLOR", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_PROCID"})
        if (const auto found = environment.find(variable); found != environment.end() && !found->second.empty()) return report::Style::plain;
    const auto term = environment.find("TERM");
    return term == environment.end() || term->second == "dumb" ? report::Style::plain : report::Style::colour;
}

report::Style output_style(const std::map<std::string, std::string>& environment, const std::string& output) {
    return output_style(environment, output, isatty(STDOUT_FILENO) != 0);
}

}  // namespace zerosim::cli
