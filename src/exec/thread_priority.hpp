// Which of a rank's threads runs first where they share cores: the one that moves data between ranks.
// Called by the communication thread, and by the interpreter where the former may not raise itself.
// Pins nothing to a core.
#pragma once

namespace zerosim::exec {

/// The calling thread goes before all others of its user. False where the system does not allow it (CAP_SYS_NICE, RLIMIT_NICE).
/// `real_time`: before those of all users, for a thread that sleeps when it has nothing to move and never spins for long; where ranks
/// outnumber cores it would keep them from each other.
[[nodiscard]] bool raise_thread_priority(bool real_time);
/// The calling thread, and those it starts from now on, give way. Always allowed; an unprivileged process cannot take it back.
void lower_thread_priority();

}  // namespace zerosim::exec
