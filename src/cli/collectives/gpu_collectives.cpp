#include "cli/collectives/gpu_collectives.hpp"

#include <algorithm>

namespace zerosim::cli {
namespace {

// nccl-tests: -w 5 calls before, then -n calls behind each other are timed as one. Here -n is --repeats, and there are several such batches.
constexpr int kWarmUps = 5, kBatches = 5;

struct Calls {
    int warm_ups, timed;
};

/// What is sent or received: of the device's pool, or registered with the communicator (--register-buffers).
class ExchangeBuffer {
public:
    ExchangeBuffer(StreamBench& bench, comm::StreamCommunicator& communicator, std::int64_t bytes, const RegistrableMemory& registrable) {
        if (registrable && bytes > 0) {
            memory_ = registrable(bytes);
            registration_ = communicator.register_memory(memory_.get(), bytes);
        } else {
            pooled_.emplace(bench.device(), bytes);
        }
    }
    [[nodiscard]] std::byte* data() const { return pooled_ ? pooled_->data() : memory_.get(); }

private:
    std::shared_ptr<std::byte> memory_;
    std::shared_ptr<void> registration_;         // goes before the memory
    std::optional<DeviceBuffer> pooled_;
};

/// Batches of two ways in turn, so that a drifting clock drifts for both; the slowest rank's seconds of a call. `second` may be empty.
std::pair<std::vector<double>, std::vector<double>> in_turn(StreamBench& bench, Calls calls, const std::function<void()>& first, const std::function<void()>& second) {
    std::vector<double> a, b;
    if (calls.warm_ups > 0) (void)bench.batch(calls.warm_ups, first);
    if (calls.warm_ups > 0 && second) (void)bench.batch(calls.warm_ups, second);
    for (int i = 0; i < kBatches; ++i) {
        a.push_back(bench.batch(calls.timed, first));
        if (second) b.push_back(bench.batch(calls.timed, second));
    }
    if (second) b = slowest_of_ranks(bench.rank(), b);
    return {slowest_of_ranks(bench.rank(), a), b};
}

/// In pieces: a device stages each upload in pinned memory of its size.
void upload(device::StreamDevice& device, const std::vector<std::byte>& source, std::byte* destination) {
    constexpr std::size_t kPiece = std::size_t{4} << 20;
    for (std::size_t at = 0; at < source.size(); at += kPiece)
        device.upload(source.data() + at, destination + at, static_cast<std::int64_t>(std::min(kPiece, source.size() - at)));
}

/// Runs it once on fresh contents, and counts what is wrong on any rank.
std::int64_t verify(StreamBench& bench, const CollectiveExercise& exercise, std::byte* send, std::byte* receive, bool in_place, const std::function<void()>& enqueue) {
    const std::vector<std::byte> contents = exercise.contents();
    std::vector<std::byte> result(static_cast<std::size_t>(exercise.received_bytes()), std::byte{0xff});
    upload(bench.device(), result, receive);
    upload(bench.device(), contents, send);
    bench.wait();
    bench.rank().barrier();
    enqueue();
    bench.device().download(receive, result.data(), exercise.received_bytes());
    return wrong_of_ranks(bench.rank(), exercise.wrong(result.data(), in_place));
}

}  // namespace

GpuCollectiveSample measure_gpu_collective(StreamBench& bench, comm::StreamCommunicator& communicator, const RawCall& raw, const CollectiveCase& what,
                                           const RegistrableMemory& registrable) {
    const CollectiveOptions& options = what.options;
    const Calls calls{options.warm_ups.value_or(kWarmUps), what.repeats};
    const CollectiveExercise exercise(what.kind, what.type, what.bytes, bench.rank().rank(), bench.rank().size(), options.root, options.reduction);
    const ExchangeBuffer send(bench, communicator, exercise.sent_bytes(), registrable), receive(bench, communicator, exercise.received_bytes(), registrable);
    void* const stream = bench.device().native_stream();
    GpuCollectiveSample result;
    {
        const comm::CollectiveCall call = exercise.call(send.data(), receive.data(), nullptr);
        const auto enqueue = [&] { communicator.enqueue(call, stream); };
        const auto [ours, theirs] = in_turn(bench, calls, enqueue, raw ? raw(call, stream) : std::function<void()>());
        std::optional<std::int64_t> wrong;
        if (options.check) wrong = verify(bench, exercise, send.data(), receive.data(), false, enqueue);
        result.out_of_place = sample_of(exercise, ours, wrong);
        if (!theirs.empty()) result.raw_seconds = timing_of(theirs).median;
    }
    if (!has_in_place(what.kind)) return result;
    const ExchangeBuffer& whole = exercise.sent > exercise.received ? send : receive;
    std::byte* const from = whole.data() + exercise.send_offset();
    std::byte* const to = whole.data() + exercise.receive_offset();
    const comm::CollectiveCall call = exercise.call(from, to, nullptr);
    const auto enqueue = [&] { communicator.enqueue(call, stream); };
    const std::vector<double> seconds = in_turn(bench, calls, enqueue, {}).first;
    std::optional<std::int64_t> wrong;
    if (options.check) wrong = verify(bench, exercise, from, to, true, enqueue);
    result.in_place = sample_of(exercise, seconds, wrong);
    return result;
}

}  // namespace zerosim::cli
