#include "schedule/schedule.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::schedule {

std::int64_t Storage::payload(std::int64_t coordinate) const {
    return std::clamp(payload_total - coordinate * payload_slope, std::int64_t{0}, bytes);
}

NameId Names::intern(std::string_view text) {
    // Planners repeat names from the same place in memory: looked up there first, and compared.
    std::uint32_t& recent = recent_[(reinterpret_cast<std::uintptr_t>(text.data()) * 0x9e3779b97f4a7c15ull) >> 54];
    if (recent < texts_.size()) {
        const std::string& known = texts_[recent];
        if (known.data() == text.data() ? known.size() == text.size() : known == text) return NameId{recent};
    }
    const NameId id = look_up(text);
    recent = id.value;
    return id;
}

NameId Names::look_up(std::string_view text) {
    if (const auto found = ids_.find(text); found != ids_.end()) return NameId{found->second};
    ids_.emplace(text, static_cast<std::uint32_t>(texts_.size()));
    texts_.emplace_back(text);
    return NameId{texts_.size() - 1};
}

std::string_view Names::operator[](NameId id) const { return id.valid() ? std::string_view(texts_[id.index()]) : std::string_view(); }

std::pair<std::size_t, std::size_t> Program::bounds(Segment segment) const {
    switch (segment) {
        case Segment::init: return {0, first_begin};
        case Segment::first: return {first_begin, steady_begin};
        case Segment::steady: return {steady_begin, ops.size()};
    }
    return {0, 0};
}

Segment Program::segment_of_step(int step) const {
    return step == 1 && first_begin != steady_begin ? Segment::first : Segment::steady;
}

const Program& Schedule::program_of(std::int64_t rank) const {
    const auto after = std::upper_bound(roles.begin(), roles.end(), rank, [](std::int64_t r, const RankRole& role) { return r < role.first_rank; });
    check(after != roles.begin() && rank < ranks, "rank has no role");
    return programs[std::prev(after)->program];
}

std::int64_t Schedule::coordinate(const Linear& linear, std::int64_t rank) const {
    return linear.axis.valid() ? axis(linear.axis).coordinate(rank) : 0;
}

std::int64_t message_bytes(const Program& program, const Collective& collective) {
    const auto bytes = [&](TensorId id) {
        return id.valid() ? program.tensor(id).elements() * size_of(program.tensor(id).dtype) : std::int64_t{0};
    };
    return std::max(bytes(collective.send), bytes(collective.receive));
}

}  // namespace zerosim::schedule
