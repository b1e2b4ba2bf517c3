// Storages, tensors (views), roles and flat layouts: what a schedule's ops operate on.
// Built by ScheduleBuilder, read by engines and analysis.
// Holds no data: an engine binds a storage to memory when the alloc op is issued.
#pragma once

#include "base/dtype.hpp"
#include "base/ids.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace zerosim::schedule {

enum class Space : std::uint8_t { device, host, pinned, nvme };

/// What bytes are for. Reports fold memory by role.
enum class Role : std::uint8_t {
    parameter, parameter_shard, gathered_parameter, gradient, gradient_shard, master_weight, first_moment, second_moment,
    activation, activation_gradient, recomputed_activation, logits, bucket, staging, workspace, optimizer_temporary,
    scalar, input, constant, padding, kv_cache, count_
};
[[nodiscard]] std::string_view name(Role role);
[[nodiscard]] std::string_view name(Space space);

/// constant + slope * (the rank's coordinate on `axis`): equal roles share one program.
struct Linear {
    std::int64_t constant = 0;
    std::int64_t slope = 0;
    AxisId axis{};
    [[nodiscard]] constexpr std::int64_t at(std::int64_t coordinate) const { return constant + slope * coordinate; }
    friend bool operator==(const Linear&, const Linear&) = default;
};

/// What is allocated and freed.
struct Storage {
    std::int64_t bytes = 0;
    PoolId pool;
    NameId name;
    std::int16_t layer = -1;
    Space space = Space::device;
    Role role = Role::workspace;   // role of its payload; the rest is padding
    // Payload of the rank at coordinate c: clamp(payload_total - c * payload_slope, 0, bytes). A shard of a padded unit has
    // slope = shard bytes; an ordinary storage slope 0 and total = bytes.
    std::int64_t payload_total = 0;
    std::int64_t payload_slope = 0;
    [[nodiscard]] std::int64_t payload(std::int64_t coordinate) const;
};

/// A view: rows x columns elements, `row_stride` elements from row to row, starting `offset` bytes into its storage.
struct Tensor {
    StorageId storage;
    NameId name;
    Linear offset;
    std::int64_t rows = 0, columns = 0, row_stride = 0;
    DType dtype = DType::fp32;
    Role role = Role::activation;
    std::int16_t layer = -1;
    std::int32_t parameter = -1;   // index into the model's parameters where this is (part of) one
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
    [[nodiscard]] bool contiguous() const { return rows <= 1 || row_stride == columns; }
    /// Bytes from the first to the last element.
    [[nodiscard]] std::int64_t extent_bytes() const {
        return elements() == 0 ? 0 : ((rows - 1) * row_stride + columns) * size_of(dtype);
    }
};

/// One unit's parameters laid end to end, in elements, padded to N * shard.
struct FlatLayout {
    struct Segment {
        std::int32_t parameter = -1;   // index into the model's parameters
        std::int64_t offset = 0, count = 0;
        bool decays = false;
        std::int64_t transposed_rows = 0;   // > 0: [rows, count / rows] here is the transpose of the parameter (Hugging Face's Conv1D)
        /// Which element of the parameter is element `local` of this segment.
        [[nodiscard]] std::int64_t element(std::int64_t local) const {
            if (transposed_rows == 0) return local;
            const std::int64_t columns = count / transposed_rows;
            return local % columns * transposed_rows + local / columns;
        }
    };
    NameId name;
    std::vector<Segment> segments;     // ascending offsets, no gaps
    std::int64_t total = 0;            // elements without padding
    std::int64_t shard = 0;            // ceil(total / N)
    std::int64_t padded = 0;           // N * shard
};

}  // namespace zerosim::schedule
