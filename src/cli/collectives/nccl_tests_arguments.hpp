// The command lines of nccl-tests (src/common.cu, "USAGE"): their letters and long names as this program's options.
// Called by command_collectives before it reads its options.
// Checks no values: the options do.
#pragma once

#include <string>
#include <vector>

namespace zerosim::cli {

/// `-b 8 -e 1G -f 2 -g 1` -> `--minimum-bytes=8 --maximum-bytes=1G --step-factor=2`. ConfigError for those that have no meaning here.
[[nodiscard]] std::vector<std::string> from_nccl_tests(const std::vector<std::string>& arguments);

} // namespace zerosim::cli
