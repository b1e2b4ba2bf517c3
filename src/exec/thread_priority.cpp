#include "exec/thread_priority.hpp"

#include <sched.h>
#include <sys/resource.h>

namespace zerosim::exec {
namespace {

// Linux: nice values are of threads, and each step is a factor of 1.25 in the share of a core (sched(7)). Two ranks on two cores, a
// compute and a communication thread each, gpt-mini stage 3: hidden all-gathers take 1 to 6 ms a step instead of 40 and 90, and 0.5 to 1 ms
// is exposed instead of 6.
constexpr int kFirst = -20, kGivesWay = 15;

}  // namespace

// A nice value is not enough where the thread yields (Open MPI does within MPI_Test, mpi_yield_when_idle): until the next tick, 4 ms, the core is
// the kernel's then. Real time (SCHED_FIFO): no hidden collective of that step takes more than 0.2 ms, where some took 2 to 7 ms.
bool raise_thread_priority(bool real_time) {
    sched_param lowest{};
    lowest.sched_priority = ::sched_get_priority_min(SCHED_FIFO);
    if (real_time && ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) == 0) return true;
    return ::setpriority(PRIO_PROCESS, 0, kFirst) == 0;
}
void lower_thread_priority() { static_cast<void>(::setpriority(PRIO_PROCESS, 0, kGivesWay)); }

}  // namespace zerosim::exec
