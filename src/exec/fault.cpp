#include "exec/fault.hpp"

#include "base/error.hpp"

#include <chrono>
#include <thread>

namespace zerosim::exec {

void act(const Fault& fault, const std::function<void()>& leave, const std::function<void()>& check) {
    constexpr std::chrono::milliseconds kSlow{50}, kAgain{20};   // how late `slow` is each time its op is reached
    switch (fault.kind) {
        case FaultKind::fail: throw EnvironmentError("injected failure (--inject)");
        case FaultKind::exit:
            if (leave) leave();
            throw EnvironmentError("injected exit (--inject)");
        case FaultKind::slow: std::this_thread::sleep_for(kSlow); return;
        case FaultKind::hang:
            for (;;) {
                std::this_thread::sleep_for(kAgain);
                check();
            }
    }
}

}  // namespace zerosim::exec
