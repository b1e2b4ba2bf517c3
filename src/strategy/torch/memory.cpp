#include "strategy/torch/memory.hpp"

namespace zerosim::strategy::torch {

Buffer Memory::allocate(NameId name, std::int64_t bytes, PoolId pool, schedule::Role role, schedule::Space space) {
    if (bytes == 0) return {};
    const StorageId storage = program_.storage(name, bytes, pool, role, program_.tags.layer);
    program_.at(storage).space = space;
    program_.alloc(storage);
    return adopt(storage);
}

/// A storage may be used elsewhere before anything here refers to it.
Memory::ForeignUses& Memory::foreign_uses_of(StorageId storage) {
    while (references_.size() <= storage.index()) references_.emplace_back();
    references_[storage.index()].foreign = 1;
    return foreign_uses_[storage.value];
}

void Memory::free(StorageId storage) {
    if (references_[storage.index()].foreign == 0) {
        program_.free(storage);
        return;
    }
    references_[storage.index()].foreign = 0;
    const auto use = foreign_uses_.extract(storage.value);
    const auto& [ops, recorded] = use.mapped();
    recorded ? program_.free_recorded(storage, ops) : program_.free(storage, ops);
}

}  // namespace zerosim::strategy::torch
