#include "config/residual_file.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "config/ini.hpp"

#include <fmt/core.h>

#include <filesystem>
#include <map>
#include <string>

namespace zerosim::config {
namespace {

class ResidualTable {
public:
    explicit ResidualTable(const std::filesystem::path& path) : file_(read_ini(path)) {
        for (const IniEntry& entry : file_.entries) {
            const auto number = parse_real(entry.value);
            if (!number) throw ConfigError(fmt::format("{}: {} '{}' is not a number", file_.place(entry), entry.key, entry.value));
            values_[entry.key] = *number;
        }
    }
    [[nodiscard]] double at(const std::string& key) const {
        const auto found = values_.find(key);
        if (found == values_.end()) throw ConfigError(fmt::format("{}: '{}' is missing; tests/calibration/fit_residuals.py writes this file", file_.name, key));
        return found->second;
    }
    [[nodiscard]] bool has(const std::string& section) const { return values_.contains(section + ".low"); }
    [[nodiscard]] cluster::Residual residual(const std::string& section) const {
        return {at(section + ".low"), at(section + ".median"), at(section + ".high")};
    }

private:
    IniFile file_;
    std::map<std::string, double> values_;
};

std::string compute_section(const ResidualTable& table, const cluster::Cluster& cluster, bool fp8) {
    if (fp8) return "compute-fp8";
    const std::string& generation = cluster.device.generation;   // "ampere-8.6" has ampere's rows
    const std::string own = "compute-" + generation.substr(0, generation.find('-'));
    return table.has(own) ? own : "compute-other";
}

} // namespace

std::optional<cluster::Residuals> residuals_of(const cluster::Cluster& cluster, bool fp8, const SearchPaths& paths) {
    if (cluster.device.is_cpu && !cluster.measured) return std::nullopt; // rows are of calibrated machines
    for (const std::filesystem::path& root : paths.configs) {
        std::error_code error;
        if (!std::filesystem::is_regular_file(root / "residuals.cfg", error)) continue;
        const ResidualTable table(root / "residuals.cfg");
        cluster::Residuals residuals;
        residuals.coverage = table.at("coverage");
        if (cluster.device.is_cpu) {
            if (!table.has("compute-cpu")) return std::nullopt;
            residuals.compute = residuals.host = table.residual("compute-cpu"); // whole steps: kernels and issue share a thread
            residuals.within_node = residuals.network = table.residual("collectives-cpu");
            return residuals;
        }
        residuals.compute = table.residual(compute_section(table, cluster, fp8));
        residuals.within_node = table.residual(cluster.fabric.wiring == cluster::Wiring::pcie ? "collectives-pcie" : "collectives-nvlink");
        residuals.network = table.residual("collectives-network");
        residuals.host = table.residual("host");
        return residuals;
    }
    return std::nullopt;
}

} // namespace zerosim::config
