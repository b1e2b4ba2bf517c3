// What every collective must give, element by element, computed sequentially in rank order; and buffers with guards around them.
// Used by the contract suite and by the MPI tests.
#pragma once

#include "base/dtype.hpp"
#include "base/error.hpp"
#include "base/rng.hpp"
#include "comm/communicator.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace zerosim::comm::contract {

/// Element `index` of what `rank` sends: fractions whose sums round, small integers.
[[nodiscard]] inline double value(int rank, std::int64_t index) {
    return 2 * unit_double(hash64(static_cast<std::uint64_t>(rank) + 1, static_cast<std::uint64_t>(index))) - 1;
}

inline void store(std::byte* to, DType dtype, int rank, std::int64_t index) {
    const double x = value(rank, index);
    const auto put = [&](auto element) { std::memcpy(to, &element, sizeof element); };
    switch (dtype) {
        case DType::fp32: return put(static_cast<float>(x));
        case DType::fp64: return put(x);
        case DType::bf16: return put(float_to_bf16(static_cast<float>(x)));
        case DType::fp16: return put(float_to_fp16(static_cast<float>(x)));
        case DType::int32: return put(static_cast<std::int32_t>(x * 1000));
        case DType::int64: return put(static_cast<std::int64_t>(x * 1e12));
        case DType::uint8: return put(static_cast<std::uint8_t>(10 + 10 * x));
    }
}

template <class T>
[[nodiscard]] T load(DType dtype, int rank, std::int64_t index) {
    std::byte bytes[8];
    store(bytes, dtype, rank, index);
    T element;
    std::memcpy(&element, bytes, sizeof element);
    return element;
}

/// The sum over ranks of element `index`: the definition, one addition after the other.
inline void store_sum(std::byte* to, DType dtype, int ranks, std::int64_t index) {
    const auto put = [&](auto element) { std::memcpy(to, &element, sizeof element); };
    const auto sum = [&]<class T>(T first) {
        for (int rank = 1; rank < ranks; ++rank) first = static_cast<T>(first + load<T>(dtype, rank, index));
        put(first);
    };
    const auto sum_wide = [&](float (*widen)(std::uint16_t), std::uint16_t (*narrow)(float)) {
        float total = widen(load<std::uint16_t>(dtype, 0, index));
        for (int rank = 1; rank < ranks; ++rank) total += widen(load<std::uint16_t>(dtype, rank, index));
        put(narrow(total));
    };
    switch (dtype) {
        case DType::fp32: return sum(load<float>(dtype, 0, index));
        case DType::fp64: return sum(load<double>(dtype, 0, index));
        case DType::int32: return sum(load<std::int32_t>(dtype, 0, index));
        case DType::int64: return sum(load<std::int64_t>(dtype, 0, index));
        case DType::uint8: return sum(load<std::uint8_t>(dtype, 0, index));
        case DType::bf16: return sum_wide(bf16_to_float, float_to_bf16);
        case DType::fp16: return sum_wide(fp16_to_float, float_to_fp16);
    }
}

/// Bytes between guards that must survive.
class Guarded {
public:
    explicit Guarded(std::int64_t bytes)
        : bytes_(static_cast<std::size_t>(bytes)), storage_(bytes_ + 2 * kGuard, std::byte{0xA5}) {}
    [[nodiscard]] std::byte* data() { return storage_.data() + kGuard; }
    [[nodiscard]] bool intact() const {
        for (std::size_t i = 0; i < kGuard; ++i)
            if (storage_[i] != std::byte{0xA5} || storage_[kGuard + bytes_ + i] != std::byte{0xA5}) return false;
        return true;
    }

private:
    static constexpr std::size_t kGuard = 64;
    std::size_t bytes_;
    std::vector<std::byte> storage_;
};

/// One collective of one rank: its buffers, filled, and what must be in them at the end.
class Exchange {
public:
    Exchange(const Communicator& communicator, CollectiveKind kind, DType dtype, std::int64_t count, bool in_place, int root)
        : kind_(kind),
          dtype_(dtype),
          count_(count),
          ranks_(communicator.size()),
          rank_(communicator.rank()),
          root_(root),
          in_place_(in_place),
          send_(send_elements() * size_of(dtype)),
          receive_(receive_elements() * size_of(dtype)),
          scratch_(scratch_bytes(kind, count, dtype, ranks_)) {
        for (std::int64_t i = 0; i < send_elements(); ++i) store(send_address() + i * size_of(dtype_), dtype_, rank_, i);
    }

    [[nodiscard]] CollectiveCall call() {
        return {.kind = kind_,
                .reduction = is_reduction(kind_) ? Reduction::sum : Reduction::none,
                .dtype = dtype_,
                .count = count_,
                .root = root_,
                .send = needs_send() ? send_address() : nullptr,
                .receive = needs_receive() ? receive_address() : nullptr,
                .scratch = scratch_.data()};
    }

    void expect_exact() {
        SCOPED_TRACE(testing::Message() << "rank " << rank_ << " of " << ranks_ << ": " << name(kind_) << " of " << count_ << " "
                                        << name(dtype_) << (in_place_ ? ", in place" : ""));
        const std::int64_t size = size_of(dtype_);
        std::byte expected[8];
        for (std::int64_t i = 0; i < receive_elements(); ++i) {
            expect(i, expected);
            if (std::memcmp(receive_address() + i * size, expected, static_cast<std::size_t>(size)) != 0) {
                ADD_FAILURE() << "element " << i << " differs";
                break;
            }
        }
        EXPECT_TRUE(send_.intact() && receive_.intact() && scratch_.intact()) << "written outside a buffer";
        if (!shares()) expect_send_unchanged();
    }

private:
    [[nodiscard]] std::int64_t send_elements() const {
        if (kind_ == CollectiveKind::reduce_scatter || kind_ == CollectiveKind::all_to_all) return ranks_ * count_;
        return kind_ != CollectiveKind::scatter ? count_ : is_root() ? ranks_ * count_ : 0;
    }
    [[nodiscard]] std::int64_t receive_elements() const {
        if (kind_ == CollectiveKind::all_gather || kind_ == CollectiveKind::all_to_all) return ranks_ * count_;
        if (kind_ == CollectiveKind::gather) return is_root() ? ranks_ * count_ : 0;
        return kind_ == CollectiveKind::reduce && !is_root() ? 0 : count_;
    }
    [[nodiscard]] bool is_root() const { return rank_ == root_; }
    /// Buffers that a rank need not have are null.
    [[nodiscard]] bool needs_send() const { return is_root() || kind_ != CollectiveKind::scatter; }
    [[nodiscard]] bool needs_receive() const { return is_root() || (kind_ != CollectiveKind::gather && kind_ != CollectiveKind::reduce); }
    /// Of gather, scatter and reduce the root alone has both buffers.
    [[nodiscard]] bool shares() const {
        return in_place_ && (is_root() || (kind_ != CollectiveKind::gather && kind_ != CollectiveKind::scatter && kind_ != CollectiveKind::reduce));
    }
    [[nodiscard]] std::byte* send_address() {
        if (!shares() || kind_ == CollectiveKind::reduce_scatter || kind_ == CollectiveKind::scatter) return send_.data();
        const bool own_slice = kind_ == CollectiveKind::all_gather || kind_ == CollectiveKind::gather;
        return receive_.data() + (own_slice ? rank_ * count_ * size_of(dtype_) : 0);
    }
    [[nodiscard]] std::byte* receive_address() {
        if (shares() && (kind_ == CollectiveKind::reduce_scatter || kind_ == CollectiveKind::scatter)) return send_.data() + rank_ * count_ * size_of(dtype_);
        return receive_.data();
    }
    void expect(std::int64_t i, std::byte* to) const {
        switch (kind_) {
            case CollectiveKind::gather:
            case CollectiveKind::all_gather: return store(to, dtype_, static_cast<int>(i / count_), i % count_);
            case CollectiveKind::all_to_all: return store(to, dtype_, static_cast<int>(i / count_), rank_ * count_ + i % count_);
            case CollectiveKind::broadcast: return store(to, dtype_, root_, i);
            case CollectiveKind::scatter: return store(to, dtype_, root_, rank_ * count_ + i);
            case CollectiveKind::send_recv: return store(to, dtype_, (rank_ + ranks_ - 1) % ranks_, i);
            case CollectiveKind::reduce:
            case CollectiveKind::all_reduce: return store_sum(to, dtype_, ranks_, i);
            case CollectiveKind::reduce_scatter: return store_sum(to, dtype_, ranks_, rank_ * count_ + i);
        }
    }
    void expect_send_unchanged() {
        std::byte expected[8];
        for (std::int64_t i = 0; i < send_elements(); ++i) {
            store(expected, dtype_, rank_, i);
            if (std::memcmp(send_.data() + i * size_of(dtype_), expected, static_cast<std::size_t>(size_of(dtype_))) != 0) {
                ADD_FAILURE() << "element " << i << " of what was sent has changed";
                return;
            }
        }
    }

    CollectiveKind kind_;
    DType dtype_;
    std::int64_t count_;
    int ranks_, rank_, root_;
    bool in_place_;
    Guarded send_, receive_, scratch_;
};

} // namespace zerosim::comm::contract
