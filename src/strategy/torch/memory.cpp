#include "strategy/torch/memory.hpp"

namespace zerosim::strategy::torch {

Buffer::Buffer(const Buffer& other) : memory_(other.memory_), storage_(other.storage_) {
    if (memory_ != nullptr) ++memory_->references_[storage_.index()];
}

void Buffer::reset() {
    if (Memory* memory = std::exchange(memory_, nullptr)) memory->release(storage_);
}

bool Buffer::unique() const { return memory_ != nullptr && memory_->references_[storage_.index()] == 1; }

Buffer Memory::allocate(std::string_view name, std::int64_t bytes, PoolId pool, schedule::Role role, schedule::Space space) {
    if (bytes == 0) return {};
    const StorageId storage = program_.storage(name, bytes, pool, role, program_.tags.layer);
    program_.at(storage).space = space;
    program_.alloc(storage);
    return adopt(storage);
}

Buffer Memory::adopt(StorageId storage) {
    if (references_.size() <= storage.index()) references_.resize(storage.index() + 1, 0);
    ++references_[storage.index()];
    return Buffer(*this, storage);
}

void Memory::release(StorageId storage) {
    if (--references_[storage.index()] > 0 || closed_) return;
    const auto use = foreign_uses_.find(storage.value);
    if (use == foreign_uses_.end()) {
        program_.free(storage);
        return;
    }
    const auto& [ops, recorded] = use->second;
    recorded ? program_.free_recorded(storage, ops) : program_.free(storage, ops);
    foreign_uses_.erase(use);
}

}  // namespace zerosim::strategy::torch
