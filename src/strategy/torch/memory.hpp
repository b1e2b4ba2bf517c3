// Storages as eager Python holds them: allocated when a kernel is issued, freed when the last reference goes.
// Used by everything in strategy/torch; RAII scopes of C++ stand for those of Python and of the autograd engine.
// Emits alloc and free into the program; knows no operation and no allocator.
#pragma once

#include "schedule/builder.hpp"

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace zerosim::strategy::torch {

class Memory;

/// One reference to a storage.
class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer& other);
    Buffer(Buffer&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), storage_(other.storage_) {}
    Buffer& operator=(Buffer other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(storage_, other.storage_);
        return *this;
    }
    ~Buffer() { reset(); }
    void reset();
    [[nodiscard]] StorageId storage() const { return storage_; }
    [[nodiscard]] bool valid() const { return memory_ != nullptr; }
    /// Nothing else refers to this storage.
    [[nodiscard]] bool unique() const;

private:
    friend class Memory;
    Buffer(Memory& memory, StorageId storage) : memory_(&memory), storage_(storage) {}
    Memory* memory_ = nullptr;
    StorageId storage_;
};

class Memory {
public:
    explicit Memory(schedule::ProgramBuilder& program) : program_(program) {}
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    /// Allocates now; an empty Buffer for 0 bytes.
    [[nodiscard]] Buffer allocate(std::string_view name, std::int64_t bytes, PoolId pool, schedule::Role role,
                                  schedule::Space space = schedule::Space::device);
    /// A reference to a storage that the planner has allocated itself.
    [[nodiscard]] Buffer adopt(StorageId storage);
    /// `op` uses the storage on a stream that does not own its pool: the owner waits for it before the memory is used again.
    void used_elsewhere(StorageId storage, OpId op) { foreign_uses_[storage.value] = {{op}, false}; }
    /// [Tensor.record_stream] `op` uses the storage on another stream: freed, its block comes back when all such ops are done.
    void record_stream(StorageId storage, OpId op) {
        ForeignUses& uses = foreign_uses_[storage.value];
        uses.recorded = true;
        uses.ops.push_back(op);
    }
    /// From now on references that go free nothing: the program is complete.
    void close() { closed_ = true; }
    [[nodiscard]] schedule::ProgramBuilder& program() { return program_; }

private:
    friend class Buffer;
    void release(StorageId storage);
    schedule::ProgramBuilder& program_;
    std::vector<std::uint32_t> references_;   // by storage
    struct ForeignUses {
        std::vector<OpId> ops;
        bool recorded = false;
    };
    std::unordered_map<std::uint32_t, ForeignUses> foreign_uses_;
    bool closed_ = false;
};

}  // namespace zerosim::strategy::torch
