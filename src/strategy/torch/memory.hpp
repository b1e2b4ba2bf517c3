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
    inline Buffer(const Buffer& other);
    Buffer(Buffer&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), storage_(other.storage_) {}
    Buffer& operator=(Buffer other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(storage_, other.storage_);
        return *this;
    }
    ~Buffer() { reset(); }
    inline void reset();
    [[nodiscard]] StorageId storage() const { return storage_; }
    [[nodiscard]] bool valid() const { return memory_ != nullptr; }
    /// Nothing else refers to this storage.
    [[nodiscard]] inline bool unique() const;

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
    [[nodiscard]] Buffer allocate(NameId name, std::int64_t bytes, PoolId pool, schedule::Role role, schedule::Space space = schedule::Space::device);
    [[nodiscard]] Buffer allocate(std::string_view name, std::int64_t bytes, PoolId pool, schedule::Role role,
                                  schedule::Space space = schedule::Space::device) {
        return allocate(program_.intern(name), bytes, pool, role, space);
    }
    /// A reference to a storage that the planner has allocated itself.
    [[nodiscard]] Buffer adopt(StorageId storage) {
        while (references_.size() <= storage.index()) references_.emplace_back();
        ++references_[storage.index()].count;
        return Buffer(*this, storage);
    }
    /// `op` uses the storage on a stream that does not own its pool: the owner waits for it before the memory is used again.
    void used_elsewhere(StorageId storage, OpId op) { foreign_uses_of(storage) = {{op}, false}; }
    /// [Tensor.record_stream] `op` uses the storage on another stream: freed, its block comes back when all such ops are done.
    void record_stream(StorageId storage, OpId op) {
        ForeignUses& uses = foreign_uses_of(storage);
        uses.recorded = true;
        uses.ops.push_back(op);
    }
    /// From now on references that go free nothing: the program is complete.
    void close() { closed_ = true; }
    [[nodiscard]] schedule::ProgramBuilder& program() { return program_; }

private:
    friend class Buffer;
    struct References {
        std::uint32_t count : 31 = 0;
        std::uint32_t foreign : 1 = 0;   // it has ForeignUses
    };
    struct ForeignUses {
        std::vector<OpId> ops;
        bool recorded = false;
    };
    void release(StorageId storage) {
        if (--references_[storage.index()].count == 0 && !closed_) free(storage);
    }
    void free(StorageId storage);
    [[nodiscard]] ForeignUses& foreign_uses_of(StorageId storage);
    schedule::ProgramBuilder& program_;
    std::vector<References> references_;   // by storage
    std::unordered_map<std::uint32_t, ForeignUses> foreign_uses_;
    bool closed_ = false;
};

Buffer::Buffer(const Buffer& other) : memory_(other.memory_), storage_(other.storage_) {
    if (memory_ != nullptr) ++memory_->references_[storage_.index()].count;
}

void Buffer::reset() {
    if (Memory* memory = std::exchange(memory_, nullptr)) memory->release(storage_);
}

bool Buffer::unique() const { return memory_ != nullptr && memory_->references_[storage_.index()].count == 1; }

}  // namespace zerosim::strategy::torch
