// Cluster files: configs/clusters/*.cfg and those of `zerosim calibrate` <-> Cluster.
// Called by config/'s scenario assembly, `zerosim list` and `zerosim calibrate`.
// Does not measure and does not apply the command line's overrides.
#pragma once

#include "cluster/cluster.hpp"
#include "config/search_paths.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace zerosim::config {

/// `name_or_path`: a name in clusters/ of the search paths, or the path of a file (one that holds a '/' or ends in .cfg). The
/// user's own files (user_clusters) come first, so that a calibrated `local` is preferred over the shipped one.
[[nodiscard]] cluster::Cluster load_cluster(const std::string& name_or_path, const SearchPaths& paths = default_search_paths());
/// The file that load_cluster would read. Throws ConfigError with the nearest name when there is none.
[[nodiscard]] std::filesystem::path find_cluster(const std::string& name_or_path,
                                                 const SearchPaths& paths = default_search_paths());
[[nodiscard]] std::vector<std::string> cluster_names(const SearchPaths& paths = default_search_paths());

/// $XDG_CONFIG_HOME/zerosim/clusters, or ~/.config/zerosim/clusters; empty when neither variable is set.
[[nodiscard]] std::filesystem::path user_clusters();

/// `name` is how errors call the text.
[[nodiscard]] cluster::Cluster parse_cluster(const std::string& name, const std::string& text);
/// The text of a cluster file: `provenance` as a comment, then every key.
[[nodiscard]] std::string cluster_text(const cluster::Cluster& cluster, const std::string& provenance);
/// Writes it, with the directories above it. Throws EnvironmentError when that fails.
void save_cluster(const std::filesystem::path& path, const cluster::Cluster& cluster, const std::string& provenance);

} // namespace zerosim::config
