// StreamDevice: a Device whose work runs behind the host, in order on each stream and across streams only by events.
// Made by cli/ (CUDA), driven by exec/stream_interpreter. Work goes to the stream chosen last with use(), as in PyTorch.
// Does not order anything by itself and does not know a schedule.
#pragma once

#include "device/device.hpp"
#include "device/driver_memory.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::device {

class StreamDevice : public Device {
public:
    using Event = std::uint32_t;

    /// launch, copy, fill, upload and events go to this stream from now on.
    virtual void use(StreamId stream) = 0;
    /// `timed` events can be subtracted.
    [[nodiscard]] virtual Event make_event(bool timed) = 0;
    virtual void record(Event event) = 0;
    /// The current stream waits; an event never recorded is done.
    virtual void wait(Event event) = 0;
    [[nodiscard]] virtual bool done(Event event) = 0;
    /// Both recorded and done.
    [[nodiscard]] virtual double seconds_between(Event begin, Event end) = 0;
    /// Takes time on the current stream and touches nothing: --compute synthetic.
    virtual void hold(double seconds) = 0;
    /// The current stream as the back end knows it (cudaStream_t): what a communicator of the same kind enqueues on.
    [[nodiscard]] virtual void* native_stream() = 0;
    /// A named range on the host's timeline for profilers, around what is issued between the two.
    virtual void begin_range(std::string_view name) = 0;
    virtual void end_range() = 0;
    /// Where the driver tells how much memory it has given: the account of it. Null: it does not.
    [[nodiscard]] virtual DriverLedger* driver_ledger() { return nullptr; }
    /// What it did more slowly than it might have, each in a sentence: for the report.
    [[nodiscard]] virtual std::vector<std::string> remarks() const { return {}; }
};

}  // namespace zerosim::device
