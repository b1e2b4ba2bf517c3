// Deadline: calls a function when it is not gone in time. Ends the job where no watchdog looks: ranks keep each other waiting outside the run
// itself, or a device does not let go.
// Used by MpiJob and the ranks on GPUs.
// The function is called on a thread of its own, beside one that is stuck.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace zerosim::cli {

class Deadline {
public:
    Deadline(double seconds, std::function<void()> expired)
        : thread_([seconds, expired = std::move(expired)](std::stop_token stop) {
              std::mutex mutex;
              std::unique_lock lock(mutex);
              std::condition_variable_any ended;
              ended.wait_for(lock, stop, std::chrono::duration<double>(seconds), [] { return false; });
              if (!stop.stop_requested()) expired();
          }) {}

private:
    std::jthread thread_;
};

}  // namespace zerosim::cli
