// Device: memory in pools and kernels on tensors. Back ends: host (BLAS and own loops), CUDA.
// Called by exec/ alone, which resolves tensors to addresses and orders calls.
// Counts what it hands out itself (requested bytes at each allocate and release) and never reads a schedule.
#pragma once

#include "base/dtype.hpp"
#include "base/ids.hpp"
#include "kernel/kernel.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace zerosim::device {

class Workers;

/// A tensor at run time: `rows` x `columns` elements, `row_stride` elements from row to row.
struct TensorView {
    void* data = nullptr;              // null = absent optional operand
    std::int64_t rows = 0, columns = 0, row_stride = 0;
    DType dtype = DType::fp32;
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
    [[nodiscard]] bool contiguous() const { return rows <= 1 || row_stride == columns; }
    template <class T>
    [[nodiscard]] T* as() const { return static_cast<T*>(data); }
};

/// A part of a flat shard, in elements from the shard's begin: what is not covered is padding.
struct RangeSegment {
    std::int64_t offset = 0, count = 0;
    bool decays = false;
};

/// What a kernel may depend on beside its operands: the counters of its randomness.
struct KernelContext {
    std::uint64_t seed = 0;
    std::int64_t step = 1;             // 1-based
    std::int64_t first_sample = 0;     // global index of the micro-batch's first sequence within the step
    Workers* workers = nullptr;  // threads of the compute stream; null = the calling thread alone
};

struct KernelCall {
    kernel::Kernel kernel{};
    const kernel::Attributes& attributes;
    std::span<const TensorView> operands;
    std::span<const RangeSegment> range;   // squared_norm, optimizers
    KernelContext context;
    std::span<const std::uint32_t> range_ends = {};   // multi-tensor kernels: end of group i's segments in `range`
};

class Device {
public:
    virtual ~Device() = default;
    /// Memory of `bytes` from `pool`; `planned_offset` is the offset in the pool's arena when an arena was planned, else -1.
    /// Throws EnvironmentError when there is none.
    [[nodiscard]] virtual std::byte* allocate(PoolId pool, std::int64_t bytes, std::int64_t planned_offset) = 0;
    virtual void release(PoolId pool, std::byte* data, std::int64_t bytes) = 0;
    /// Sum of the requested bytes now handed out, and the most there has been since the last reset.
    [[nodiscard]] virtual std::int64_t handed_out_bytes() const = 0;
    [[nodiscard]] virtual std::int64_t peak_bytes() const = 0;

    /// Bytes between the process's own memory and the device's; complete on return.
    virtual void upload(const void* source, void* destination, std::int64_t bytes) = 0;
    virtual void download(const void* source, void* destination, std::int64_t bytes) = 0;

    virtual void launch(const KernelCall& call) = 0;
    /// Casts where the dtypes differ; adds into the destination when `accumulate`.
    virtual void copy(const TensorView& source, const TensorView& destination, bool accumulate) = 0;
    virtual void fill(const TensorView& destination, double value) = 0;
};

}  // namespace zerosim::device
