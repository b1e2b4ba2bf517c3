// DriverLedger: how a rank's use of device memory grew, by the driver's own figure, step of the set-up by step of the set-up.
// Kept by a StreamDevice; told by it, by cli/ (communicators) and by exec/ (connections made lazily) what is being set up.
// Does not ask a driver itself: the figure is handed in, so that it can be tested without a GPU.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

namespace zerosim::device {

/// What the driver's figure grows by. `context`: the driver's own, with streams and events. `pools`: memory that is handed out.
/// `communicators`: NCCL's buffers. `libraries`: cuBLASLt's handles and workspaces, scratch of kernels.
enum class DriverPart : std::uint8_t { context, pools, communicators, libraries, count_ };

/// Bytes of one device. -1: the driver does not say.
struct DriverMemory {
    std::int64_t before = -1;              // used on the device before this process had a context: other processes
    std::array<std::int64_t, static_cast<std::size_t>(DriverPart::count_)> parts{};
    std::int64_t settled = -1;             // used after the second step, when everything made lazily is there
    std::int64_t at_end = -1;              // used after the last step
    std::int64_t of_process = -1;          // what the driver says this process alone has, at the end
    std::int64_t total = -1;
    bool shared = false;                   // other ranks on this device: their growth is in these figures

    [[nodiscard]] bool measured() const { return at_end >= 0; }
    [[nodiscard]] std::int64_t part(DriverPart which) const { return parts[static_cast<std::size_t>(which)]; }
    [[nodiscard]] std::int64_t named() const {
        std::int64_t sum = before > 0 ? before : 0;
        for (const std::int64_t bytes : parts) sum += bytes;
        return sum;
    }
    /// What grew beside everything named until the set-up had settled: code of kernels, loaded at their first launch, above all.
    [[nodiscard]] std::int64_t other() const { return settled < 0 ? 0 : settled - named(); }
    /// After the set-up had settled: 0, or something leaks.
    [[nodiscard]] std::int64_t growth() const { return settled < 0 || at_end < 0 ? 0 : at_end - settled; }
};

class DriverLedger {
public:
    /// `used`: the driver's figure now; -1 where it has none. `before`: that figure before the context was made.
    DriverLedger(std::function<std::int64_t()> used, std::int64_t before) : used_(std::move(used)) { memory_.before = before; }

    /// Growth while `body` runs is `part`'s. Calls do not nest.
    template <class Body>
    decltype(auto) during(DriverPart part, Body&& body) {
        const Measure measure(*this, part);
        return std::forward<Body>(body)();
    }
    /// Growth since the process began is the context's: called when the context is there.
    void context_made() {
        const std::int64_t now = used_();
        if (now >= 0) memory_.parts[static_cast<std::size_t>(DriverPart::context)] = now - (memory_.before > 0 ? memory_.before : 0);
    }
    void settle() { memory_.settled = used_(); }
    void finish() { memory_.at_end = used_(); }
    [[nodiscard]] DriverMemory& memory() { return memory_; }
    [[nodiscard]] const DriverMemory& memory() const { return memory_; }

private:
    /// On the failure path too: what was made before an exception stays counted.
    class Measure {
    public:
        Measure(DriverLedger& ledger, DriverPart part) : ledger_(ledger), part_(part), begin_(ledger.used_()) {}
        ~Measure() {
            const std::int64_t end = ledger_.used_();
            if (begin_ >= 0 && end >= 0) ledger_.memory_.parts[static_cast<std::size_t>(part_)] += end - begin_;
        }
        Measure(const Measure&) = delete;
        Measure& operator=(const Measure&) = delete;

    private:
        DriverLedger& ledger_;
        DriverPart part_;
        std::int64_t begin_;
    };
    std::function<std::int64_t()> used_;
    DriverMemory memory_;
};

}  // namespace zerosim::device
