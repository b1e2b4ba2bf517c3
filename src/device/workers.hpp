// Workers: the threads of one rank's compute stream, for loops inside a kernel.
// Owned by a host device, handed to kernels through KernelContext; BLAS itself runs single-threaded under it.
// Does not queue: one parallel loop at a time, from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace zerosim::device {

class Workers {
public:
    /// `threads` >= 1 counts the calling thread. Workers spin briefly, then sleep.
    explicit Workers(int threads);
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    [[nodiscard]] int threads() const noexcept;
    /// Calls body(part) for part in [0, parts), spread over the threads; returns when all are done. Exceptions are not allowed.
    void run(int parts, const std::function<void(int)>& body);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Splits [0, count) into contiguous chunks of at least `grain`, one a thread: body(begin, end). Inline when one chunk suffices.
void parallel_for(Workers* workers, std::int64_t count, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace zerosim::device
