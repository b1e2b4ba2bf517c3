// Strong integer ids: a StreamId cannot be passed where a TensorId is meant.
// Used by every floor. They index vectors inside one Program or Schedule.
// They carry no data and no ownership.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace zerosim {

template <class Tag>
struct Id {
    static constexpr std::uint32_t none = 0xffffffffu;
    std::uint32_t value = none;

    constexpr Id() = default;
    constexpr explicit Id(std::size_t index) : value(static_cast<std::uint32_t>(index)) {}
    [[nodiscard]] constexpr bool valid() const { return value != none; }
    [[nodiscard]] constexpr std::size_t index() const { return value; }
    friend constexpr auto operator<=>(Id, Id) = default;
};

using StorageId = Id<struct StorageTag>;
using TensorId = Id<struct TensorTag>;
using StreamId = Id<struct StreamTag>;
using PoolId = Id<struct PoolTag>;
using OpId = Id<struct OpTag>;          // position in program order: init, then first, then steady
using AxisId = Id<struct AxisTag>;      // axis of the process mesh
using LayoutId = Id<struct LayoutTag>;  // flat layout of one unit
using NameId = Id<struct NameTag>;

}  // namespace zerosim

template <class Tag>
struct std::hash<zerosim::Id<Tag>> {
    std::size_t operator()(zerosim::Id<Tag> id) const noexcept { return id.value; }
};
