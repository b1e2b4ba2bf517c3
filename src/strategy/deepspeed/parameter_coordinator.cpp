#include "strategy/deepspeed/parameter_coordinator.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <limits>

namespace zerosim::strategy::deepspeed {

ParameterCoordinator::Module& ParameterCoordinator::module_of(const torch::ModuleCall& call) {
    Module& module = (call.embedding ? embeddings_ : modules_)[call.weight];
    if (module.parameters.empty())
        for (const Parameter* p : {call.weight, call.bias})
            if (p != nullptr) module.parameters.push_back(&parameters_.of(p));
    return module;
}

/// PostBackwardFunction around the input (its backward releases), fetch.
Value ParameterCoordinator::before(const torch::ModuleCall& call, const Value& input) {
    Module& module = module_of(call);
    fetch_containers(containers_.before_forward(call));
    fetch(module);
    Value wrapped = input;
    if (auto node = engine_.tape.engine.node({input.node})) {
        node->slots = {input.output};
        node->apply = [this, &module](torch::Node&, torch::Values& g) {
            release(module);
            return torch::Values{std::move(g[0])};
        };
        wrapped.node = std::move(node);
        wrapped.output = 0;
    }
    return wrapped;
}

/// Release; PreBackwardFunction around the output (its backward fetches).
Value ParameterCoordinator::after(const torch::ModuleCall& call, const Value& output) {
    Module& module = module_of(call);
    release(module);
    Value wrapped = output;
    if (auto node = engine_.tape.engine.node({output.node})) {
        node->slots = {output.output};
        node->apply = [this, &module, containers = containers_.before_backward(call)](torch::Node&, torch::Values& g) {
            fetch_containers(containers);
            fetch(module);
            return torch::Values{std::move(g[0])};
        };
        wrapped.node = std::move(node);
        wrapped.output = 0;
    }
    return wrapped;
}

void ParameterCoordinator::begin_micro_batch(bool first_of_step) {
    for (ShardedParameter& p : parameters_.all()) { // [_clean_inflight_param_registry]
        if (!p.handle) continue;
        static_cast<void>(parameters_.wait(p));
        if (p.active_modules.empty()) parameters_.release(p);
    }
    if (recording_) complete_trace();
    recording_ = !recorded_;
    for (ShardedParameter& p : parameters_.all()) p.last_fetched_for = std::numeric_limits<std::int64_t>::min();
    next_use_ = 0;
    step_ = available_ = 0;
    if (first_of_step) fetch_events_.clear(); // the step before has ended
}

/// [construct_parameter_trace_from_module_trace]
void ParameterCoordinator::complete_trace() {
    recorded_ = true;
    for (std::size_t step = 0; step < module_order_.size(); ++step)
        for (ShardedParameter* p : module_order_[step]->parameters) parameter_order_.push_back({p, static_cast<std::int64_t>(step)});
}

void ParameterCoordinator::fetch_containers(int count) {
    for (int i = 0; i < count; ++i) fetch(container_);
}

/// Three fetches may be under way; the host waits for the oldest before it queues a fourth [max_ongoing_fetch_events = 2].
void ParameterCoordinator::throttle() {
    constexpr std::size_t kMostEvents = 2;
    if (fetch_events_.size() <= kMostEvents) return;
    if (fetch_events_.front().valid()) engine_.program.host_wait(engine_.streams.compute, std::vector{fetch_events_.front()});
    fetch_events_.pop_front();
}

void ParameterCoordinator::fetch(Module& module) {
    if (recording_) module_order_.push_back(&module);
    std::vector<ShardedParameter*> missing;
    for (ShardedParameter* p : module.parameters)
        if (p->status == Status::not_available) missing.push_back(p);
    for (const ShardedParameter* p : missing) available_ += p->elements;
    parameters_.gather(missing);
    for (ShardedParameter* p : module.parameters) {
        if (std::ranges::find(p->active_modules, &module) == p->active_modules.end()) p->active_modules.push_back(&module);
        if (!p->handle) continue;
        throttle();
        const OpId event = parameters_.wait(*p);
        fetch_events_.push_back(event);
        engine_.program.wait_event(engine_.streams.compute, event);
    }
    engine_.program.wait_stream(engine_.streams.compute, engine_.streams.gather);
    if (recorded_) prefetch(module);
    ++step_;
}

void ParameterCoordinator::prefetch(const Module& module) {
    // Uses of this module leave the queue, unless an earlier prefetch took them.
    std::size_t expected = 0;
    for (const ShardedParameter* p : module.parameters)
        if (p->last_fetched_for < step_) ++expected;
    for (; expected > 0; --expected) {
        check(next_use_ < parameter_order_.size(), "deepspeed: modules run in another order than recorded");
        const Use& use = parameter_order_[next_use_++];
        use.parameter->last_fetched_for = use.step;
    }
    const std::int64_t most = std::min(engine_.options.max_live - available_, engine_.options.prefetch_bucket);
    std::vector<ShardedParameter*> next;
    for (std::int64_t elements = 0; next_use_ < parameter_order_.size() && elements < most;) {
        const Use& use = parameter_order_[next_use_];
        if (use.parameter->file_tensor.valid() && use.parameter->status == Status::not_available) break; // read ahead apart
        ++next_use_;
        use.parameter->last_fetched_for = std::max(use.parameter->last_fetched_for, use.step);
        if (use.parameter->status != Status::not_available || std::ranges::find(next, use.parameter) != next.end()) continue;
        next.push_back(use.parameter);
        elements += use.parameter->elements;
    }
    for (const ShardedParameter* p : next) available_ += p->elements;
    std::ranges::sort(next, {}, [](const ShardedParameter* p) { return p->id; }); // by ds_id: the order of definition
    parameters_.gather(next);
}

/// Within max_reuse_distance elements of the modules ahead.
bool ParameterCoordinator::used_again(const ShardedParameter& parameter) const {
    std::int64_t elements = 0;
    for (auto step = static_cast<std::size_t>(step_); step < module_order_.size() && elements < engine_.options.max_reuse_distance; ++step)
        for (const ShardedParameter* p : module_order_[step]->parameters) {
            if (p == &parameter) return true;
            elements += p->elements;
        }
    return false;
}

/// [release_sub_module]
void ParameterCoordinator::release(Module& module) {
    for (ShardedParameter* p : module.parameters) {
        std::erase(p->active_modules, &module);
        if (recorded_ && (p->persists || p->last_fetched_for > step_ || used_again(*p))) continue;
        if (p->status != Status::available || !p->active_modules.empty()) continue;
        parameters_.release(*p);
        available_ -= p->elements;
    }
}

void ParameterCoordinator::release_all() {
    for (ShardedParameter& p : parameters_.all()) {
        if (p.handle) static_cast<void>(parameters_.wait(p));
        p.active_modules.clear();
        if (p.status == Status::available) parameters_.release(p);
    }
}

} // namespace zerosim::strategy::deepspeed
