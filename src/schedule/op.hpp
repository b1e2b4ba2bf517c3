// The operations of a schedule. An op carries work (kernel attributes, message sizes), never a duration.
// Emitted by planners through ScheduleBuilder; interpreted by sim/ and exec/.
// Does not know how or how fast anything is done.
#pragma once

#include "base/collective.hpp"
#include "base/ids.hpp"
#include "kernel/kernel.hpp"
#include "schedule/tensor.hpp"

#include <cstdint>
#include <string_view>

namespace zerosim::schedule {

enum class OpKind : std::uint8_t {
    alloc,       // storage, from its pool, at issue
    free,        // storage, to its pool, at issue; deps = uses on other streams (the pool's stream waits for them)
    fill,        // operands: destination; value
    copy,        // operands: source, destination [, source, destination ...]; casts; adds when `accumulate`
    input,       // operands: tokens, targets of one micro-batch
    initialize,  // operands: opt. parameter shard, opt. master shard; range
    compute,     // kernel, operands, attributes; squared_norm has a range
    optimizer,   // kernel adamw, operands, attributes, range
    collective,  // collective
    host_wait,   // issuing stops until the deps are done
    host_compute,
    mark,        // a named point: reports and host reads (loss is read at the mark `step`)
    count_
};

enum class Phase : std::uint8_t { init, forward, backward, optimizer };

/// Who and what an op belongs to. A reduction belongs to the phase that issued it.
struct Tags {
    std::int16_t micro_batch = -1;
    std::int16_t layer = -1;
    std::int16_t unit = -1;
    Phase phase = Phase::init;
    bool recompute = false;
};

/// In place = `send` is the rank's own slice view of `receive` (all-gather) or the reverse (reduce-scatter), or equal (all-reduce).
/// Equal counts on every rank. `scratch` is where a back end without in-network reduction receives the peers' slices.
struct Collective {
    CollectiveKind kind{};
    AxisId axis;
    TensorId send, receive, scratch;
    Reduction reduction = Reduction::none;
    std::int32_t root = 0;
    bool scalar = false;           // loss and norm: counted apart
    /// Ops of one launch group start together (ncclGroupStart/End); -1 = alone.
    std::int32_t launch_group = -1;
};

/// Elements [start, start + count) of a flat layout; parts beyond the layout's total are padding.
struct ShardRange {
    LayoutId layout;
    Linear start;
    std::int64_t count = 0;
};

struct Op {
    OpKind kind = OpKind::mark;
    kernel::Kernel kernel = kernel::Kernel::count_;
    bool accumulate = false;              // copy adds
    bool recorded = false;                // free: deps were recorded on the block (record_stream): no stream waits for them
    StreamId stream;
    Tags tags;
    NameId name;
    StorageId storage;                    // alloc, free
    std::uint32_t operands_begin = 0;     // into Program::operands
    std::uint32_t deps_begin = 0;         // into Program::deps
    std::uint32_t operands_count = 0;
    std::uint16_t deps_count = 0;
    /// Into Program::attributes where the op has a kernel, ::collectives of a collective, ::values of a fill.
    std::uint32_t detail = ~0u;
    std::uint32_t range = ~0u;            // into Program::ranges
    [[nodiscard]] bool has_kernel() const { return kernel != kernel::Kernel::count_; }
};
// A large model has a hundred thousand ops, most of them alloc and free: what planning costs is mostly their memory.
static_assert(sizeof(Op) == 48);

[[nodiscard]] std::string_view name(OpKind kind);
[[nodiscard]] std::string_view name(Phase phase);

}  // namespace zerosim::schedule
