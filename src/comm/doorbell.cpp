#include "comm/doorbell.hpp"

#include <thread>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <climits>
#endif

namespace zerosim::comm {

static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4, "shared between processes");

void Doorbell::ring(Bell& bell) {
    bell.rings.fetch_add(1, std::memory_order_seq_cst);
#ifdef __linux__
    if (bell.sleepers.load(std::memory_order_seq_cst) > 0) syscall(SYS_futex, &bell.rings, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
#endif
}

void Doorbell::ring_others() {
    for (std::size_t i = 0; i < bells_.size(); ++i)
        if (i != own_) ring(bells_[i]);
}

void Doorbell::wait(std::uint32_t heard, std::chrono::microseconds longest) {
    Bell& bell = bells_[own_];
#ifdef __linux__
    bell.sleepers.fetch_add(1, std::memory_order_seq_cst);
    const timespec timeout{static_cast<time_t>(longest.count() / 1'000'000), static_cast<long>(longest.count() % 1'000'000 * 1'000)};
    if (bell.rings.load(std::memory_order_seq_cst) == heard) syscall(SYS_futex, &bell.rings, FUTEX_WAIT, heard, &timeout, nullptr, 0);
    bell.sleepers.fetch_sub(1, std::memory_order_seq_cst);
#else
    if (bell.rings.load(std::memory_order_seq_cst) == heard) std::this_thread::sleep_for(longest);
#endif
}

} // namespace zerosim::comm
