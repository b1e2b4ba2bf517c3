// A StreamDevice whose streams are threads: what is issued runs later, in order on its stream, and across streams only as events say. One stream may
// be slow, so that whoever does not wait for it reads or overwrites too early. A StreamCommunicator that goes with it.
// For tests of the executor on streams. Under ThreadSanitizer every missing wait is a data race: the queues tell the host nothing.
#pragma once

#include "base/error.hpp"
#include "support/host_streams.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>

namespace zerosim::test {

/// Spins without a lock: a lock would order what only events may order.
template <class Condition>
void wait_until(const Condition& condition) {
    while (!condition()) std::this_thread::sleep_for(std::chrono::microseconds(10));
}

/// One producer (the host), one consumer (its own thread).
class LateStream {
public:
    explicit LateStream(std::chrono::microseconds delay) : delay_(delay), last_(&nodes_.emplace_back()), thread_([this](std::stop_token stop) { work(stop); }) {}
    ~LateStream() {
        synchronize();
        thread_.request_stop();
    }
    void push(std::function<void()> work) {
        Node& node = nodes_.emplace_back();
        node.work = std::move(work);
        last_->next.store(&node, std::memory_order_release);
        last_ = &node;
    }
    /// As cudaStreamSynchronize.
    void synchronize() {
        std::atomic<bool> done = false;
        push([&done] { done.store(true, std::memory_order_release); });
        wait_until([&done] { return done.load(std::memory_order_acquire); });
    }

private:
    struct Node {
        std::function<void()> work;
        std::atomic<Node*> next = nullptr;
    };
    void work(const std::stop_token& stop) {
        const Node* at = first_;
        while (true) {
            Node* next = nullptr;
            wait_until([&] { return (next = at->next.load(std::memory_order_acquire)) != nullptr || stop.stop_requested(); });
            if (next == nullptr) return;
            if (delay_.count() > 0) std::this_thread::sleep_for(delay_);
            next->work();
            at = next;
        }
    }
    std::chrono::microseconds delay_;
    std::deque<Node> nodes_;                             // the host's: the thread follows the links
    Node* last_;
    const Node* first_ = last_;
    std::jthread thread_;
};

class LateStreams final : public device::StreamDevice {
public:
    /// The ops of stream `slow` are late by `delay` each; none is with slow >= streams.
    LateStreams(std::unique_ptr<device::HostDevice> host, std::size_t streams, std::size_t slow, std::chrono::microseconds delay) : host_(std::move(host)) {
        for (std::size_t i = 0; i < streams; ++i) streams_.emplace_back(i == slow ? delay : std::chrono::microseconds(0));
    }
    [[nodiscard]] std::byte* allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) override { return host_->allocate(pool, bytes, planned_offset); }
    void release(PoolId pool, std::byte* data, std::int64_t bytes) override { host_->release(pool, data, bytes); }
    [[nodiscard]] std::int64_t handed_out_bytes() const override { return host_->handed_out_bytes(); }
    [[nodiscard]] std::int64_t peak_bytes() const override { return host_->peak_bytes(); }
    void upload(const void* source, void* destination, std::int64_t bytes) override {
        const auto* from = static_cast<const std::byte*>(source);
        stream().push([staged = std::vector<std::byte>(from, from + bytes), destination] { std::memcpy(destination, staged.data(), staged.size()); });
    }
    void download(const void* source, void* destination, std::int64_t bytes) override {
        stream().push([=] { std::memcpy(destination, source, static_cast<std::size_t>(bytes)); });
        stream().synchronize();
    }
    void launch(const device::KernelCall& call) override {
        stream().push([this, kernel = call.kernel, &attributes = call.attributes, operands = std::vector(call.operands.begin(), call.operands.end()),
                       range = std::vector(call.range.begin(), call.range.end()), ends = std::vector(call.range_ends.begin(), call.range_ends.end()),
                       context = call.context] { host_->launch({kernel, attributes, operands, range, context, ends}); });
    }
    void copy(const device::TensorView& source, const device::TensorView& destination, bool accumulate) override {
        stream().push([=, this] { host_->copy(source, destination, accumulate); });
    }
    void fill(const device::TensorView& destination, double value) override {
        stream().push([=, this] { host_->fill(destination, value); });
    }

    void use(StreamId stream) override { current_ = stream.index(); }
    [[nodiscard]] Event make_event(bool timed) override {
        events_.emplace_back().timed = timed;
        return static_cast<Event>(events_.size() - 1);
    }
    void record(Event event) override {
        const std::uint64_t turn = ++events_[event].recorded;
        stream().push([&mark = events_[event], turn] {
            mark.time = std::chrono::steady_clock::now();
            mark.reached.store(turn, std::memory_order_release);
        });
    }
    void wait(Event event) override {
        check(events_[event].recorded > 0, "a stream waits for an event that nobody recorded");
        stream().push([&mark = events_[event], turn = events_[event].recorded] { wait_until([&] { return mark.reached.load(std::memory_order_acquire) >= turn; }); });
    }
    [[nodiscard]] bool done(Event event) override {
        check(events_[event].recorded > 0, "the host waits for an event that nobody recorded");
        return events_[event].reached.load(std::memory_order_acquire) >= events_[event].recorded;
    }
    [[nodiscard]] double seconds_between(Event begin, Event end) override {
        check(events_[begin].timed && events_[end].timed, "an event without time was asked for its time");
        check(done(begin) && done(end), "an event that has not happened was asked for its time");
        return std::chrono::duration<double>(events_[end].time - events_[begin].time).count();
    }
    void hold(double) override {}
    [[nodiscard]] void* native_stream() override { return &stream(); }
    void begin_range(std::string_view) override {}
    void end_range() override {}

private:
    struct Mark {
        bool timed = false;
        std::uint64_t recorded = 0;                      // the host's count
        std::atomic<std::uint64_t> reached = 0;          // the stream's
        std::chrono::steady_clock::time_point time;
    };
    [[nodiscard]] LateStream& stream() { return streams_[current_]; }
    std::unique_ptr<device::HostDevice> host_;
    std::deque<Mark> events_;
    std::deque<LateStream> streams_;                     // ends first: its last work uses the others
    std::size_t current_ = 0;
};

/// Each collective runs when its stream gets there.
class LateCollectives final : public BlockingCollectives {
public:
    using BlockingCollectives::BlockingCollectives;
    void enqueue(const comm::CollectiveCall& call, void* stream) override {
        static_cast<LateStream*>(stream)->push([this, call] { local_->run(call); });
    }
};

}  // namespace zerosim::test
