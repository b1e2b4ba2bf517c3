// Program: the ops one role of ranks issues, in order. Schedule: programs, roles of ranks, mesh axes, layouts, names.
// Produced by strategy::plan; consumed by sim/, exec/, analysis/.
// Immutable once built; no engine state.
#pragma once

#include "schedule/op.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace zerosim::schedule {

/// Interned strings: ops and tensors hold a NameId, so a large schedule holds each name once.
class Names {
public:
    NameId intern(std::string_view text);
    /// The text stays where it is as long as the names live.
    [[nodiscard]] std::string_view operator[](NameId id) const;

private:
    /// Looks up a string_view without making a string of it: planners intern a name for each op.
    struct Hash {
        using is_transparent = void;
        [[nodiscard]] std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    [[nodiscard]] NameId look_up(std::string_view text);
    std::array<std::uint32_t, 1024> recent_{};   // by the text's address
    std::deque<std::string> texts_;
    std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> ids_;
};

enum class StreamKind : std::uint8_t { compute, communication, copy, host };
struct Stream {
    NameId name;
    StreamKind kind = StreamKind::compute;
};
/// Memory freed into a pool may be reused at once by the pool's owner stream.
struct Pool {
    NameId name;
    StreamId owner;
};

/// An axis of the process mesh: `size` ranks a group; rank r has coordinate (r / stride) % size.
struct Axis {
    NameId name;
    std::int64_t size = 1;
    std::int64_t stride = 1;
    [[nodiscard]] std::int64_t coordinate(std::int64_t rank) const { return (rank / stride) % size; }
};

/// init runs once; step 1 is `first` if it is not empty, else `steady`; all other steps are `steady`.
enum class Segment : std::uint8_t { init, first, steady };

struct Program {
    std::vector<Stream> streams;
    std::vector<Pool> pools;
    std::vector<Storage> storages;
    std::vector<Tensor> tensors;
    std::vector<Op> ops;                  // init, then first, then steady
    std::size_t first_begin = 0, steady_begin = 0;
    std::vector<TensorId> operands;
    std::vector<OpId> deps;
    std::vector<kernel::Attributes> attributes;
    std::vector<Collective> collectives;
    std::vector<ShardRange> ranges;
    std::vector<double> values;           // of fills

    [[nodiscard]] std::span<const TensorId> operands_of(const Op& op) const { return {operands.data() + op.operands_begin, op.operands_count}; }
    [[nodiscard]] std::span<const OpId> deps_of(const Op& op) const { return {deps.data() + op.deps_begin, op.deps_count}; }
    [[nodiscard]] const Storage& storage(StorageId id) const { return storages[id.index()]; }
    [[nodiscard]] const Tensor& tensor(TensorId id) const { return tensors[id.index()]; }
    [[nodiscard]] const Op& op(OpId id) const { return ops[id.index()]; }
    [[nodiscard]] const Collective& collective_of(const Op& op) const { return collectives[op.detail]; }
    [[nodiscard]] const kernel::Attributes& attributes_of(const Op& op) const { return attributes[op.detail]; }
    [[nodiscard]] double value_of(const Op& op) const { return values[op.detail]; }
    /// [begin, end) of a segment in `ops`.
    [[nodiscard]] std::pair<std::size_t, std::size_t> bounds(Segment segment) const;
    /// The segment that step `step` (1-based) runs.
    [[nodiscard]] Segment segment_of_step(int step) const;
};

/// Ranks that run the same program. `first_rank` stands for them; `count` share it.
struct RankRole {
    std::uint32_t program = 0;
    std::int64_t first_rank = 0;
    std::int64_t count = 1;
};

struct Schedule {
    std::int64_t ranks = 1;
    std::vector<Program> programs;
    std::vector<RankRole> roles;          // ascending, contiguous blocks of ranks, covering all
    std::vector<Axis> axes;
    std::vector<FlatLayout> layouts;
    std::vector<std::string> parameters;  // names, by parameter index
    Names names;
    /// Collectives of an axis share one communicator and run one after another, in issue order (one process group of torch.distributed).
    /// False: each stream has communicators of its own.
    bool one_communicator_per_axis = false;
    std::vector<std::string> notes;       // what the planner simplified, for the report

    [[nodiscard]] const Program& program_of(std::int64_t rank) const;
    [[nodiscard]] const FlatLayout& layout(LayoutId id) const { return layouts[id.index()]; }
    [[nodiscard]] const Axis& axis(AxisId id) const { return axes[id.index()]; }
    /// The coordinate of `rank` that a Linear of this schedule refers to (0 when it has no axis).
    [[nodiscard]] std::int64_t coordinate(const Linear& linear, std::int64_t rank) const;
};

/// Message bytes: count * dtype size, of the larger buffer (docs/metrics.md).
[[nodiscard]] std::int64_t message_bytes(const Program& program, const Collective& collective);

}  // namespace zerosim::schedule
