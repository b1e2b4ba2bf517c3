// What a planned step sends.
// Included by the planners' tests.
// Holds no test.
#pragma once

#include "schedule/schedule.hpp"

namespace zerosim::strategy {

/// Message bytes of a steady step's collectives of one kind, scalars apart.
inline std::int64_t steady_message_bytes(const schedule::Schedule& schedule, CollectiveKind kind) {
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t bytes = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind == schedule::OpKind::collective && program.collective_of(op).kind == kind && !program.collective_of(op).scalar)
            bytes += schedule::message_bytes(program, program.collective_of(op));
    }
    return bytes;
}

}  // namespace zerosim::strategy
