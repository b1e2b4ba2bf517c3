#include "cli/collectives/link_reference.hpp"

namespace zerosim::cli {

double link_reference_seconds(TeamRank& rank) { return measure_collective(rank, kLinkReference).seconds; }

} // namespace zerosim::cli
