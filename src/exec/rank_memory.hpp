// RankMemory: where a rank's storages lie while it runs, and the views ops get of them.
// Used by the interpreter: bind at alloc, unbind at free, view at issue.
// Does not allocate: the device does.
#pragma once

#include "device/device.hpp"
#include "schedule/schedule.hpp"

#include <vector>

namespace zerosim::exec {

class RankMemory {
public:
    /// Resolves the rank's offsets (Linear) once.
    RankMemory(const schedule::Schedule& schedule, const schedule::Program& program, std::int64_t rank);

    void bind(StorageId storage, std::byte* base) { bases_[storage.index()] = base; }
    [[nodiscard]] std::byte* base(StorageId storage) const { return bases_[storage.index()]; }
    /// An invalid id gives an absent view.
    [[nodiscard]] device::TensorView view(TensorId tensor) const;
    /// The parts of the op's range that are parameters, in elements from the range's begin.
    [[nodiscard]] const std::vector<device::RangeSegment>& segments(std::uint32_t range) const { return segments_[range]; }
    /// First element of the op's range within its layout.
    [[nodiscard]] std::int64_t range_start(std::uint32_t range) const { return starts_[range]; }

private:
    const schedule::Program& program_;
    std::vector<std::byte*> bases_;
    std::vector<std::int64_t> offsets_;                              // by tensor
    std::vector<std::vector<device::RangeSegment>> segments_;        // by range
    std::vector<std::int64_t> starts_;
};

}  // namespace zerosim::exec
