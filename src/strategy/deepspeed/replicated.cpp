#include "strategy/deepspeed/replicated.hpp"

#include <fmt/core.h>

namespace zerosim::strategy::deepspeed {

Replicated::Replicated(Engine& engine, torch::LanguageModel& model) : engine_(engine), model_(model) {
    for (Group& group : engine.groups(model)) {
        Flat& flat = flats_.emplace_back();
        for (const Parameter* p : group.parameters) flat.elements += p->elements();
        flat.layout = engine.flat_layout(fmt::format("group {}", flats_.size() - 1), group.parameters, flat.elements * engine.ranks, group.decays);
        flat.group = std::move(group);
    }
}

/// Each parameter is cloned, the clones are concatenated, and the flat copy is cast; then the parameters become its views.
void Replicated::flatten(Flat& flat, std::unordered_map<const Parameter*, Value>& apart) {
    Engine& e = engine_;
    std::vector<Value> clones;
    for (const Parameter* p : flat.group.parameters) {
        clones.push_back(e.make(e.streams.compute, p->name, p->elements(), e.compute_dtype, Role::staging));
        e.program.copy(e.streams.compute, apart.at(p).tensor, clones.back().tensor);
    }
    flat.parameters = e.make(e.streams.compute, "flat parameters", flat.elements, e.compute_dtype, Role::parameter);
    std::vector<TensorId> pairs;
    std::int64_t at = 0;
    for (std::size_t i = 0; i < clones.size(); ++i) {
        Parameter& p = *flat.group.parameters[i];
        const TensorId place = e.part(p.name, flat.parameters.tensor, at, p.elements());
        pairs.insert(pairs.end(), {clones[i].tensor, place});
        p.value.tensor = e.shaped(p, place);
        at += p.elements();
    }
    e.program.copy_all(e.streams.compute, pairs);
    clones.clear();
    for (const Parameter* p : flat.group.parameters) apart.erase(p);
    const Value clone = e.make(e.streams.compute, "parameter_clone", flat.elements, e.compute_dtype, Role::staging);
    e.program.copy(e.streams.compute, flat.parameters.tensor, clone.tensor);
    flat.master = e.make(e.streams.compute, "master", flat.elements, DType::fp32, Role::master_weight);
    e.program.initialize(e.streams.compute, {}, flat.master.tensor, e.whole_range(flat.layout, flat.elements));
}

void Replicated::initialize() {
    Engine& e = engine_;
    std::unordered_map<const Parameter*, Value> apart;
    for (Parameter& p : model_.parameters()) {
        if (p.trainable && wrapped()) {
            apart.emplace(&p, e.build(p));
        } else {
            e.place_whole(p);
        }
        if (p.trainable) e.tape.require_gradient(p);
    }
    model_.make_buffers();
    if (!wrapped()) return;
    for (Flat& flat : flats_) flatten(flat, apart);
    // [initialize_optimizer_states]: a step with zero gradients makes the moments.
    std::vector<Value> zeros;
    for (Flat& flat : flats_) zeros.push_back(e.make(e.streams.compute, "zero_gradient", flat.elements, DType::fp32, Role::optimizer_temporary));
    for (Flat& flat : flats_) make_moments(flat);
}

void Replicated::make_moments(Flat& flat) {
    if (flat.first_moment.defined()) return;
    for (Value* moment : {&flat.first_moment, &flat.second_moment}) {
        *moment = engine_.make(engine_.streams.compute, "moment", flat.elements, DType::fp32,
                               moment == &flat.first_moment ? Role::first_moment : Role::second_moment);
        engine_.program.fill(engine_.streams.compute, moment->tensor, 0);
    }
}

torch::StepHooks Replicated::hooks() {
    torch::StepHooks h;
    h.before_forward = [this](bool last) { boundary_ = last; };
    h.after_backward = [this] {
        if (boundary_) reduce();
    };
    h.optimize = [this] { step(); };
    h.zero_gradients = [this] {
        for (Parameter& p : model_.parameters()) p.gradient = {};
        engine_.end_step();
    };
    return h;
}

/// [allreduce_no_retain]: a bucket closes when it has more than MEMORY_OPT_ALLREDUCE_SIZE elements.
void Replicated::reduce() {
    constexpr std::int64_t kElements = 500'000'000;
    std::vector<Parameter*> together;
    std::int64_t elements = 0;
    for (Parameter& p : model_.parameters()) {
        if (!p.gradient.defined()) continue;
        together.push_back(&p);
        elements += p.elements();
        if (elements <= kElements) continue;
        all_reduce(together, elements);
        together.clear();
        elements = 0;
    }
    if (!together.empty()) all_reduce(together, elements);
}

void Replicated::all_reduce(const std::vector<Parameter*>& parameters, std::int64_t elements) {
    Engine& e = engine_;
    if (parameters.size() == 1) {
        e.collective(CollectiveKind::all_reduce, "all_reduce", e.streams.compute, parameters.front()->gradient.tensor,
                     parameters.front()->gradient.tensor);
        return e.divide_by_ranks(e.streams.compute, parameters.front()->gradient.tensor);
    }
    const Value flat = e.make(e.streams.compute, "flat_gradients", elements, e.compute_dtype, Role::staging);
    std::vector<TensorId> there, back;
    std::int64_t at = 0;
    for (const Parameter* p : parameters) {
        const TensorId place = e.part("flat_gradient", flat.tensor, at, p->elements());
        there.insert(there.end(), {p->gradient.tensor, place});
        back.insert(back.end(), {place, p->gradient.tensor});
        at += p->elements();
    }
    e.program.copy_all(e.streams.compute, there);
    e.collective(CollectiveKind::all_reduce, "all_reduce", e.streams.compute, flat.tensor, flat.tensor);
    e.divide_by_ranks(e.streams.compute, flat.tensor);
    e.program.copy_all(e.streams.compute, back);
}

/// [CheckOverflow]: float(x.float().sum()) of each gradient.
void Replicated::check_overflow() {
    Engine& e = engine_;
    OpId summed;
    for (const Flat& flat : flats_)
        for (const Parameter* p : flat.group.parameters) {
            const Value wide = e.make(e.streams.compute, "overflow_float", p->elements(), DType::fp32, Role::optimizer_temporary);
            summed = e.program.copy(e.streams.compute, p->gradient.tensor, wide.tensor);
            e.program.host_wait(e.streams.compute, std::vector{summed});
        }
    const Value flag = e.make(e.streams.compute, "overflow", 1, DType::fp32, Role::scalar);
    e.program.fill(e.streams.compute, flag.tensor, 0);
    e.program.host_wait(e.streams.compute,
                        std::vector{e.collective(CollectiveKind::all_reduce, "overflow", e.streams.compute, flag.tensor, flag.tensor, true, true)});
}

/// Each gradient cast to fp32, all of them concatenated, then the narrow ones go: 8 bytes an element beside the gradients.
Value Replicated::wide_gradient(Flat& flat) {
    Engine& e = engine_;
    std::vector<Value> wide;
    std::vector<TensorId> pairs;
    for (const Parameter* p : flat.group.parameters) {
        wide.push_back(e.make(e.streams.compute, "fp32_gradient", p->elements(), DType::fp32, Role::optimizer_temporary));
        e.program.copy(e.streams.compute, p->gradient.tensor, wide.back().tensor);
    }
    Value gradient = e.make(e.streams.compute, "flat_fp32_gradient", flat.elements, DType::fp32, Role::optimizer_temporary);
    std::int64_t at = 0;
    for (const Value& part : wide) {
        pairs.insert(pairs.end(), {part.tensor, e.part("fp32_gradient", gradient.tensor, at, part.elements())});
        at += part.elements();
    }
    e.program.copy_all(e.streams.compute, pairs);
    for (Parameter* p : flat.group.parameters) p->gradient = {};
    return gradient;
}

void Replicated::step() {
    if (!wrapped()) return step_in_fp32();
    Engine& e = engine_;
    check_overflow();
    std::vector<Value> gradients;
    for (Flat& flat : flats_) gradients.push_back(wide_gradient(flat));
    for (std::size_t i = 0; i < flats_.size(); ++i) e.add_norm({gradients[i].tensor}, {e.whole_range(flats_[i].layout, flats_[i].elements)}, false);
    for (const Value& gradient : gradients) e.clip(gradient.tensor);
    for (std::size_t i = 0; i < flats_.size(); ++i)
        e.update("fused_adam", {flats_[i].master.tensor, flats_[i].first_moment.tensor, flats_[i].second_moment.tensor, gradients[i].tensor},
                 {e.whole_range(flats_[i].layout, flats_[i].elements)});
    gradients.clear();
    for (const Flat& flat : flats_) e.program.copy(e.streams.compute, flat.master.tensor, flat.parameters.tensor);
    e.end_norms();
}

/// FusedAdam over the parameters themselves, one launch a group.
void Replicated::step_in_fp32() {
    Engine& e = engine_;
    std::vector<TensorId> gradients;
    std::vector<schedule::ShardRange> whole;
    for (const Flat& flat : flats_)
        for (const Parameter* p : flat.group.parameters) {
            gradients.push_back(e.part("gradient", p->gradient.tensor, 0, p->elements()));
            whole.push_back(e.whole_range(p->layout, p->elements()));
        }
    e.add_norm(gradients, whole, false);
    if (e.scenario.training.clip_gradients > 0)
        for (const TensorId gradient : gradients) e.clip(gradient);
    for (Flat& flat : flats_) {
        make_moments(flat);
        std::vector<std::array<TensorId, 4>> tensors;
        std::vector<schedule::ShardRange> ranges;
        std::int64_t at = 0;
        for (const Parameter* p : flat.group.parameters) {
            const std::int64_t n = p->elements();
            tensors.push_back({e.part(p->name, p->value.tensor, 0, n), e.part("moment", flat.first_moment.tensor, at, n),
                               e.part("moment", flat.second_moment.tensor, at, n), e.part("gradient", p->gradient.tensor, 0, n)});
            ranges.push_back({flat.layout, {at, 0, e.data}, n});
            at += n;
        }
        e.update_tensors("fused_adam", tensors, ranges);
    }
    e.end_norms();
}

} // namespace zerosim::strategy::deepspeed
