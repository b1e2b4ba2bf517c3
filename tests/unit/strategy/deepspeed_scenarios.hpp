// Scenarios of DeepSpeed and what its tests count.
// Included by the deepspeed tests.
// Holds no test.
#pragma once

#include "base/error.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "sim/memory_replay.hpp"
#include "strategy/plan.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace zerosim::strategy {

using schedule::OpKind;
using schedule::Phase;
using schedule::Program;
using schedule::Role;

inline Scenario small(int stage, std::int64_t ranks, model::Model m = test::tiny_llama()) {
    Scenario s = test::scenario(m, stage, ranks);
    s.strategy.system = System::deepspeed;
    s.strategy.deepspeed.reduce_bucket = 700; // several buckets, and tables larger than one
    s.strategy.deepspeed.persistence_threshold = 20;
    s.strategy.deepspeed.prefetch_bucket = 500;
    s.training.precision = Precision::bf16_mixed;
    return s;
}

/// Sent elements of a segment by kind, without scalars; elements of the larger buffer.
inline std::map<CollectiveKind, std::int64_t> volume(const schedule::Schedule& schedule, const Program& program, schedule::Segment segment) {
    std::map<CollectiveKind, std::int64_t> elements;
    const auto [begin, end] = program.bounds(segment);
    for (std::size_t i = begin; i < end; ++i) {
        if (program.ops[i].kind != OpKind::collective || program.collective_of(program.ops[i]).scalar) continue;
        const schedule::Collective& c = program.collective_of(program.ops[i]);
        elements[c.kind] += std::max(program.tensor(c.send).elements(), program.tensor(c.receive).elements());
    }
    static_cast<void>(schedule);
    return elements;
}

/// Parameters of both groups, each padded to a multiple of 2 x ranks.
inline std::int64_t flat_elements(const Scenario& s) {
    std::int64_t matrices = 0, vectors = 0;
    for (const auto& p : model::parameters(s.model)) (p.matrix ? matrices : vectors) += p.elements();
    const auto padded = [&](std::int64_t n) { return (n + 2 * s.ranks - 1) / (2 * s.ranks) * 2 * s.ranks; };
    return padded(matrices) + padded(vectors);
}

inline std::int64_t sharded_elements(const Scenario& s, std::int64_t above = 0, std::int64_t up_to = INT64_MAX) {
    std::int64_t sum = 0;
    for (const auto& p : model::parameters(s.model))
        if (p.elements() > above && p.elements() <= up_to) sum += (p.elements() + s.ranks - 1) / s.ranks * s.ranks;
    return sum;
}

inline std::string text_of(const std::vector<schedule::Violation>& violations) {
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(violations.size(), 5); ++i)
        text += "rank " + std::to_string(violations[i].rank) + " op " + std::to_string(violations[i].op.value) + " " + violations[i].what + "\n";
    return text;
}

using Volume = std::map<CollectiveKind, std::int64_t>;

inline std::int64_t elements_of(const model::Model& m) { return model::parameter_count(m); }

inline Volume steady(const Scenario& s) {
    const auto schedule = plan(s);
    return volume(schedule, schedule.program_of(0), schedule::Segment::steady);
}

/// A model of some size, for memory.
inline Scenario medium(int stage, std::int64_t ranks) {
    Scenario s = small(stage, ranks);
    s.model.layers = 8;
    s.model.hidden = 512;
    s.model.heads = s.model.kv_heads = 8;
    s.model.head_dim = 64;
    s.model.feed_forward = 2048;
    s.model.vocabulary = s.model.real_vocabulary = 8000;
    s.model.positions = s.training.sequence_length = 128;
    s.strategy.deepspeed = {};
    s.library = kernel::Library::cuda;
    return s;
}

inline sim::MemoryReplay replay(const Scenario& s) {
    const auto schedule = plan(s);
    return sim::replay_memory(schedule.program_of(0));
}

inline std::int64_t role_bytes(const Scenario& s, Role role) {
    return schedule::memory_profile(plan(s), 0).after_step_by_role[static_cast<std::size_t>(role)];
}

} // namespace zerosim::strategy
