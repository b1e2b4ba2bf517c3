// The option table's section on PyTorch's caching allocator: keys of PYTORCH_CUDA_ALLOC_CONF.
#include "config/allocator_options.hpp"

#include "base/error.hpp"
#include "config/option_rows.hpp"

#include <bit>

namespace zerosim::config {

void allocator_options(Table& t) {
    t.group("Allocator (systems whose memory PyTorch manages)", kScenario);
    t.flag("allocator.expandable-segments", false, "segments grow page by page instead of one a request");
    t.integer("allocator.max-split-size-mb", "0", 0, 1 << 20, "blocks of at least this many MiB are never split; more than 20; 0: no limit");
    t.integer("allocator.roundup-power2-divisions", "0", 0, 64, "sizes are rounded up to this many steps between powers of two; 0: to 512 bytes");
    t.real("allocator.garbage-collection-threshold", "0", 0, 1, "share of the memory fraction above which old cached segments are given back; 0: never");
    t.real("allocator.memory-fraction", "0", 0, 1, "set_per_process_memory_fraction: share of the device that may be reserved; 0: all");
}

namespace {

/// The zerosim system plans an arena; inference takes PyTorch's allocator under every system.
void refuse_without_allocator(const Values& values) {
    if (values.text("strategy.system") != "zerosim" || values.text("mode") == "inference") return;
    for (const Option& option : option_table())
        if (option.key.starts_with("allocator.") && values.text(option.key) != option.default_value)
            values.refuse(option.key, "concerns PyTorch's caching allocator: the zerosim system plans its memory ahead (strategy.arena); "
                                      "systems with that allocator are ddp, fsdp, fsdp2, deepspeed and megatron");
}

}  // namespace

strategy::Allocator allocator_of(const Values& values) {
    refuse_without_allocator(values);
    strategy::Allocator a;
    a.expandable_segments = values.boolean("allocator.expandable-segments");
    a.max_split_size_mb = values.integer("allocator.max-split-size-mb");
    a.roundup_power2_divisions = values.integer("allocator.roundup-power2-divisions");
    a.garbage_collection_threshold = values.real("allocator.garbage-collection-threshold");
    a.memory_fraction = values.real("allocator.memory-fraction");
    // The limits of c10/cuda/CUDAAllocatorConfig.cpp.
    if (a.max_split_size_mb > 0 && a.max_split_size_mb <= 20) values.refuse("allocator.max-split-size-mb", "must be more than 20, the size of a large buffer");
    if (a.roundup_power2_divisions == 1 || !(a.roundup_power2_divisions == 0 || std::has_single_bit(static_cast<std::uint64_t>(a.roundup_power2_divisions))))
        values.refuse("allocator.roundup-power2-divisions", "must be a power of two, at least 2");
    if (a.garbage_collection_threshold > 0 && a.memory_fraction == 0)
        values.refuse("allocator.garbage-collection-threshold", "does nothing in PyTorch unless allocator.memory-fraction is set too");
    return a;
}

}  // namespace zerosim::config
