// Jobs for tests of memory techniques: a small Llama on one system, and what a plan of it holds.
#pragma once

#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "strategy/plan.hpp"
#include "support/scenarios.hpp"

#include <cstdint>
#include <string_view>

namespace zerosim::strategy {

using schedule::Role;

inline Scenario job(System system = System::ddp, int stage = 0) {
    Scenario s;
    s.model = test::model_of(model::Family::llama, 4, 8, 2048, 32000, 512);
    s.strategy.system = system;
    s.strategy.zero_stage = stage;
    s.strategy.wrap = system != System::ddp;
    s.library = kernel::Library::cuda;
    s.training.micro_batch = 4;
    s.training.sequence_length = 512;
    s.training.precision = Precision::bf16;
    s.training.lora_targets = {"q", "k", "v", "o"};
    s.ranks = system == System::ddp ? 1 : 4;
    return s;
}

inline Scenario adapted() {
    Scenario s = job();
    s.training.lora_rank = 8;
    return s;
}

template <class Change>
inline Scenario with(Scenario s, Change change) {
    change(s);
    return s;
}

inline schedule::MemoryProfile profile(const Scenario& s) { return schedule::memory_profile(plan(s), 0); }
inline sim::MemoryReplay replay(const Scenario& s) { return sim::replay_memory(plan(s).programs[0]); }
inline std::int64_t bytes(const schedule::MemoryProfile& p, Role role) { return p.after_step_by_role[static_cast<std::size_t>(role)]; }

/// Requested bytes on the device when the steady step's forward is issued.
inline std::int64_t held_after_forward(const Scenario& s) {
    const auto schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t live = 0, held = 0;
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        const bool moves = op.kind == schedule::OpKind::alloc || op.kind == schedule::OpKind::free;
        if (moves && program.storage(op.storage).space == schedule::Space::device)
            live += (op.kind == schedule::OpKind::alloc ? 1 : -1) * program.storage(op.storage).bytes;
        if (i >= program.steady_begin && op.tags.phase == schedule::Phase::forward) held = live;
    }
    return held;
}

inline int ops_named(const Scenario& s, std::string_view name, schedule::Phase phase) {
    const auto schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    int count = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i)
        count += program.ops[i].kind == schedule::OpKind::compute && program.ops[i].tags.phase == phase && schedule.names[program.ops[i].name] == name;
    return count;
}

} // namespace zerosim::strategy
