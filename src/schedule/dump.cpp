#include "schedule/dump.hpp"

#include "schedule/access.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zerosim::schedule {
namespace {

std::string labelled(const Schedule& schedule, int layer, NameId name) {
    return layer >= 0 ? fmt::format("L{} {}", layer, schedule.names[name]) : std::string(schedule.names[name]);
}

std::string segment_title(const Program& program, std::size_t op) {
    if (op == 0 && program.first_begin > 0) return "segment init\n";
    if (op == program.first_begin && program.first_begin != program.steady_begin) return "segment first\n";
    return op == program.steady_begin ? "segment steady\n" : "";
}

std::string operand_list(const Schedule& schedule, const Program& program, const Op& op) {
    std::vector<OperandAccess> list;
    accesses(program, op, list);
    std::string reads, writes;
    for (const OperandAccess& a : list) {
        std::string& side = a.writes ? writes : reads;
        if (!side.empty()) side += ", ";
        side += (a.reads && a.writes ? "+" : "") + describe(schedule, program, a.tensor);
    }
    return writes.empty() ? reads : reads + (reads.empty() ? "-> " : " -> ") + writes;
}

std::string deps_list(const Program& program, const Op& op) {
    std::string text;
    for (const OpId dep : program.deps_of(op)) text += fmt::format("{}{}", text.empty() ? "  after " : ",", dep.value);
    return text;
}

std::string subject(const Schedule& schedule, const Program& program, const Op& op) {
    switch (op.kind) {
        case OpKind::alloc:
        case OpKind::free: {
            const Storage& s = program.storage(op.storage);
            return fmt::format("{} {} {} B in {}", labelled(schedule, s.layer, s.name), name(s.role), s.bytes, schedule.names[program.pools[s.pool.index()].name]);
        }
        case OpKind::collective: {
            const Collective& c = program.collective_of(op);
            return fmt::format("{} {} over {}{}", zerosim::name(c.kind), schedule.names[op.name], schedule.names[schedule.axis(c.axis).name], c.scalar ? " (scalar)" : "");
        }
        case OpKind::compute:
        case OpKind::host_compute:
        case OpKind::optimizer: return fmt::format("{} {}", kernel::name(op.kernel), schedule.names[op.name]);
        case OpKind::fill: return fmt::format("{}", program.value_of(op));
        case OpKind::copy: return op.accumulate ? "add" : "";
        default: return std::string(schedule.names[op.name]);
    }
}

}  // namespace

std::string describe(const Schedule& schedule, const Program& program, TensorId id) {
    const Tensor& t = program.tensor(id);
    return fmt::format("{} {}[{},{}]", labelled(schedule, t.layer, t.name), name(t.dtype), t.rows, t.columns);
}

std::string describe(const Schedule& schedule, const Program& program, OpId id) {
    const Op& op = program.op(id);
    std::string where = op.tags.micro_batch >= 0 ? fmt::format("{} micro-batch {}", name(op.tags.phase), op.tags.micro_batch) : std::string(name(op.tags.phase));
    if (op.tags.layer >= 0) where += fmt::format(" layer {}", op.tags.layer);
    if (op.tags.recompute) where += " recompute";
    return fmt::format("{} {} on {} [{}]", name(op.kind), subject(schedule, program, op), schedule.names[program.streams[op.stream.index()].name], where);
}

std::string dump_text(const Schedule& schedule, std::uint32_t index) {
    const Program& program = schedule.programs[index];
    std::string text = fmt::format("program {}: {} ops, {} storages, {} tensors\n", index, program.ops.size(), program.storages.size(), program.tensors.size());
    for (const Axis& axis : schedule.axes) text += fmt::format("axis {}: {} ranks, stride {}\n", schedule.names[axis.name], axis.size, axis.stride);
    for (const Stream& stream : program.streams) text += fmt::format("stream {}\n", schedule.names[stream.name]);
    for (const Pool& pool : program.pools) text += fmt::format("pool {} of stream {}\n", schedule.names[pool.name], schedule.names[program.streams[pool.owner.index()].name]);
    for (const FlatLayout& layout : schedule.layouts)
        text += fmt::format("unit {}: {} elements, shard {}, padded {}\n", schedule.names[layout.name], layout.total, layout.shard, layout.padded);
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const Op& op = program.ops[i];
        text += segment_title(program, i);
        text += fmt::format("{:>4} {:<8} {:<10} {:<9} {}", i, schedule.names[program.streams[op.stream.index()].name], name(op.kind), name(op.tags.phase), subject(schedule, program, op));
        const std::string operands = operand_list(schedule, program, op);
        if (!operands.empty()) text += ": " + operands;
        text += deps_list(program, op) + "\n";
    }
    return text;
}

std::string dump_json(const Schedule& schedule, std::uint32_t index) {
    const Program& program = schedule.programs[index];
    nlohmann::ordered_json root;
    for (const Axis& axis : schedule.axes) root["axes"].push_back({{"name", schedule.names[axis.name]}, {"size", axis.size}, {"stride", axis.stride}});
    root["first_begin"] = program.first_begin;
    root["steady_begin"] = program.steady_begin;
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const Op& op = program.ops[i];
        nlohmann::ordered_json row{{"op", i}, {"stream", schedule.names[program.streams[op.stream.index()].name]}, {"kind", name(op.kind)},
                                   {"phase", name(op.tags.phase)}, {"micro_batch", op.tags.micro_batch}, {"layer", op.tags.layer}, {"subject", subject(schedule, program, op)}};
        for (const TensorId tensor : program.operands_of(op))
            if (tensor.valid()) row["operands"].push_back(describe(schedule, program, tensor));
        for (const OpId dep : program.deps_of(op)) row["after"].push_back(dep.value);
        if (op.kind == OpKind::alloc || op.kind == OpKind::free) row["bytes"] = program.storage(op.storage).bytes;
        if (op.kind == OpKind::collective) row["message_bytes"] = message_bytes(program, program.collective_of(op));
        root["ops"].push_back(std::move(row));
    }
    return root.dump(1);
}

std::vector<std::string> collective_sequence(const Schedule& schedule, std::int64_t rank) {
    const Program& program = schedule.program_of(rank);
    std::vector<std::string> lines;
    for (const Op& op : program.ops) {
        if (op.kind != OpKind::collective) continue;
        const Collective& c = program.collective_of(op);
        const Axis& axis = schedule.axis(c.axis);
        lines.push_back(fmt::format("{} {} over {} ({} ranks, stride {}): {} {} bytes, root {}", zerosim::name(c.kind), schedule.names[op.name], schedule.names[axis.name],
                                    axis.size, axis.stride, name(program.tensor(c.send).dtype), message_bytes(program, c), c.root));
    }
    return lines;
}

}  // namespace zerosim::schedule
