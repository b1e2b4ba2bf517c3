#include "exec/thread_priority.hpp"

#include <sys/resource.h>

namespace zerosim::exec {
namespace {

// Linux: nice values are of threads, and each step is a factor of 1.25 in the share of a core (sched(7)). Two ranks on two cores, a
// compute and a communication thread each, gpt-mini stage 3: hidden all-gathers take 1 to 6 ms a step instead of 40 and 90, and 0.5 to 1 ms
// is exposed instead of 6.
constexpr int kFirst = -20, kGivesWay = 15;

}  // namespace

bool raise_thread_priority() { return ::setpriority(PRIO_PROCESS, 0, kFirst) == 0; }
void lower_thread_priority() { static_cast<void>(::setpriority(PRIO_PROCESS, 0, kGivesWay)); }

}  // namespace zerosim::exec
