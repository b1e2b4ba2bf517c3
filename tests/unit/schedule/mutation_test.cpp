// Valid planned schedules, damaged: one dependency less, two neighbours exchanged. What the validator says is compared with the
// transitive closure; a damage that both accept does no harm, because other dependencies still order every pair of uses.
#include "order_oracle.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

namespace zerosim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;
using schedule::Schedule;
using schedule::test::first_race;

class Mutation : public testing::TestWithParam<int> {
protected:
    static Schedule planned() {
        auto s = test::scenario(test::tiny_gpt2(), GetParam(), 3);
        s.model.layers = 2;
        s.training.gradient_accumulation = 2;
        s.strategy.bucket_cap_mib = 0.002;
        return strategy::plan(s);
    }
};

/// Without dep number `index` of the program. The op keeps the others.
Program without_dep(Program program, std::size_t op, std::size_t which) {
    Op& changed = program.ops[op];
    std::vector<OpId> deps(program.deps_of(changed).begin(), program.deps_of(changed).end());
    deps.erase(deps.begin() + static_cast<std::ptrdiff_t>(which));
    changed.deps_begin = static_cast<std::uint32_t>(program.deps.size());
    changed.deps_count = static_cast<std::uint16_t>(deps.size());
    program.deps.insert(program.deps.end(), deps.begin(), deps.end());
    return program;
}

/// Ops `at` and `at + 1` exchanged, and every dep on them.
Program exchanged(Program program, std::size_t at) {
    std::swap(program.ops[at], program.ops[at + 1]);
    for (OpId& dep : program.deps) {
        if (dep.index() == at) dep = OpId{at + 1};
        else if (dep.index() == at + 1) dep = OpId{at};
    }
    return program;
}

TEST_P(Mutation, ThePlannedScheduleHasNoRace) {
    const Schedule schedule = planned();
    EXPECT_TRUE(schedule::validate(schedule).empty());
    EXPECT_FALSE(first_race(schedule, schedule.programs[0], 0));
}

TEST_P(Mutation, AMissingDepIsReportedWhereItMatters) {
    const Schedule schedule = planned();
    const Program& program = schedule.programs[0];
    std::size_t deps = 0, caught = 0;
    for (std::size_t op = 0; op < program.ops.size(); ++op)
        for (std::size_t which = 0; which < program.ops[op].deps_count; ++which) {
            const Program damaged = without_dep(program, op, which);
            const bool reported = !schedule::validate_program(schedule, damaged, 0).empty();
            ASSERT_EQ(reported, first_race(schedule, damaged, 0).has_value())
                << "op " << op << " (" << describe(schedule, program, OpId{op}) << ") without its dep on op " << program.deps_of(program.ops[op])[which].value;
            ++deps;
            caught += reported;
        }
    RecordProperty("deps", static_cast<int>(deps));
    RecordProperty("caught", static_cast<int>(caught));
    EXPECT_GE(2 * caught, deps) << caught << " of " << deps << " deps carry an order that nothing else does";
}

TEST_P(Mutation, ExchangedNeighboursAreReportedWhereItMatters) {
    const Schedule schedule = planned();
    const Program& program = schedule.programs[0];
    std::size_t reported = 0;
    for (std::size_t at = 0; at + 1 < program.ops.size(); ++at) {
        if (at + 1 == program.first_begin || at + 1 == program.steady_begin) continue;   // segments stay
        const Program damaged = exchanged(program, at);
        const auto violations = schedule::validate_program(schedule, damaged, 0);
        reported += !violations.empty();
        if (violations.empty()) { EXPECT_FALSE(first_race(schedule, damaged, 0)) << "ops " << at << " and " << at + 1; }
        // Two uses of one storage on one stream, of which one allocates, frees or is the only writer so far, cannot change places.
        const Op &first = program.ops[at], &second = program.ops[at + 1];
        const bool lifetime = first.kind == OpKind::alloc || second.kind == OpKind::free;
        const bool same = schedule::test::conflict(schedule::test::uses_of(schedule, program, first, 0), schedule::test::uses_of(schedule, program, second, 0));
        if (lifetime && same) { EXPECT_FALSE(violations.empty()) << "ops " << at << " and " << at + 1; }
    }
    EXPECT_GT(reported, 0u);
}

INSTANTIATE_TEST_SUITE_P(Stages, Mutation, testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace zerosim
