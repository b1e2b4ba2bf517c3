#include "analysis/explain.hpp"

#include "analysis/size_formula.hpp"
#include "base/units.hpp"
#include "schedule/memory.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

namespace zerosim::analysis {
namespace {

using schedule::OpKind;
using schedule::Program;
using schedule::Role;

constexpr std::size_t kHolders = 10;

bool is_state(Role role) {
    switch (role) {
        case Role::parameter:
        case Role::parameter_shard:
        case Role::gradient:
        case Role::gradient_shard:
        case Role::master_weight:
        case Role::first_moment:
        case Role::second_moment: return true;
        default: return false;
    }
}

/// Storages of the device that are alive after op `peak` of a steady step.
std::vector<std::uint32_t> alive_at(const Program& program, OpId peak) {
    std::vector<std::uint8_t> alive(program.storages.size(), 0);
    const auto run = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const schedule::Op& op = program.ops[i];
            if (op.kind == OpKind::alloc) alive[op.storage.index()] = 1;
            if (op.kind == OpKind::free) alive[op.storage.index()] = 0;
        }
    };
    run(0, program.ops.size());                         // init, first and one steady step: what one leaves, the next begins with
    run(program.steady_begin, peak.index() + 1);
    std::vector<std::uint32_t> result;
    for (std::uint32_t i = 0; i < alive.size(); ++i)
        if (alive[i] != 0 && program.storages[i].space == schedule::Space::device) result.push_back(i);
    return result;
}

/// The view of each storage with the most elements: what the buffer is.
std::vector<const schedule::Tensor*> largest_views(const Program& program) {
    std::vector<const schedule::Tensor*> views(program.storages.size(), nullptr);
    for (const schedule::Tensor& tensor : program.tensors) {
        const schedule::Tensor*& view = views[tensor.storage.index()];
        if (view == nullptr || tensor.extent_bytes() > view->extent_bytes()) view = &tensor;
    }
    return views;
}

std::string numbers_of(const std::vector<Symbol>& used) {
    std::string text;
    for (const Symbol& symbol : used) text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", symbol.name, format_count(symbol.value));
    return text;
}

/// Numbers of tokens appear in activations alone: a parameter or a bucket with as many elements has them by chance.
bool knows_tokens(Role role) {
    return !is_state(role) && role != Role::gathered_parameter && role != Role::bucket && role != Role::staging && role != Role::optimizer_temporary;
}

SizeFormula buffer_formula(const schedule::Storage& storage, const schedule::Tensor* view, const Symbols& symbols) {
    const bool covered = view != nullptr && view->extent_bytes() * 10 >= storage.bytes * 9;
    // Bytes without a shape (workspaces, pools of blocks) are a constant, whatever product of symbols they may equal.
    if (!covered || storage.role == Role::workspace || (view->rows <= 1 && size_of(view->dtype) == 1)) return {format_count(storage.bytes) + " B", {}};
    if (knows_tokens(storage.role)) return size_formula(view->rows, view->columns, size_of(view->dtype), symbols);
    Symbols shapes = symbols;
    std::erase_if(shapes.dimensions, [](const Symbol& symbol) { return symbol.of_tokens; });
    return size_formula(view->rows, view->columns, size_of(view->dtype), shapes);
}

using Key = std::tuple<Role, std::string, std::int64_t>;   // name and bytes of one: empty and 0 for states, which are counted together

std::vector<Holder> grouped(const schedule::Schedule& schedule, const Program& program, OpId peak, const Symbols& symbols) {
    const auto views = largest_views(program);
    std::map<Key, std::vector<std::uint32_t>> groups;
    for (const std::uint32_t id : alive_at(program, peak)) {
        const schedule::Storage& storage = program.storages[id];
        groups[is_state(storage.role) ? Key{storage.role, "", 0} : Key{storage.role, schedule.names[storage.name], storage.bytes}].push_back(id);
    }
    std::vector<Holder> holders;
    for (const auto& [key, ids] : groups) {
        Holder holder;
        holder.role = std::get<0>(key);
        holder.name = std::get<1>(key).empty() ? "all parameters" : std::get<1>(key);
        holder.count = static_cast<std::int64_t>(ids.size());
        for (const std::uint32_t id : ids) holder.bytes += program.storages[id].bytes;
        const SizeFormula formula = std::get<1>(key).empty() ? state_formula(holder.bytes, symbols)
                                                             : buffer_formula(program.storages[ids.front()], views[ids.front()], symbols);
        holder.formula = formula.text;
        if (!std::get<1>(key).empty() && holder.count > 1) holder.formula += fmt::format(" x {}", holder.count);
        holder.numbers = numbers_of(formula.used);
        holders.push_back(std::move(holder));
    }
    std::stable_sort(holders.begin(), holders.end(), [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
    return holders;
}

}  // namespace

Explanation explain(const schedule::Schedule& schedule, std::int64_t rank, const Symbols& symbols) {
    const Program& program = schedule.program_of(rank);
    const schedule::MemoryProfile profile = schedule::memory_profile(schedule, rank);
    Explanation result;
    if (!profile.peak_op.valid()) return result;
    const schedule::Op& op = program.op(profile.peak_op);
    result.peak_op = schedule.names[op.kind == OpKind::alloc ? program.storage(op.storage).name : op.name];
    result.peak_phase = name(op.tags.phase);
    result.peak_layer = op.tags.layer;
    result.peak_bytes = profile.peak;
    result.holders = grouped(schedule, program, profile.peak_op, symbols);
    for (std::size_t i = kHolders; i < result.holders.size(); ++i) result.other_bytes += result.holders[i].bytes;
    if (result.holders.size() > kHolders) result.holders.resize(kHolders);
    return result;
}

}  // namespace zerosim::analysis
