// Runs a scenario on local ranks, for tests: options from the scenario, results combined over ranks.
#pragma once

#include "base/error.hpp"
#include "exec/host_rank.hpp"
#include "schedule/validate.hpp"
#include "strategy/adapters.hpp"
#include "strategy/plan.hpp"

#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace zerosim::test {

inline exec::ExecuteOptions options_of(const strategy::Scenario& s) {
    exec::ExecuteOptions o;
    o.steps = static_cast<int>(s.training.steps);
    o.seed = s.training.seed;
    o.initial.scheme = data::scheme_of(s.training.init);
    for (const auto& p : model::parameters(s.model))
        o.initial.starts.push_back(p.initial == model::Initial::matrix ? data::Start::random : p.initial == model::Initial::one ? data::Start::one : data::Start::zero);
    o.step_shape = {s.ranks * s.training.micro_batch * s.training.gradient_accumulation, s.training.sequence_length};
    o.micro_batch = s.training.micro_batch;
    o.gradient_accumulation = s.training.gradient_accumulation;
    o.timeout_seconds = 60;
    return o;
}

struct Trained {
    std::vector<exec::RankResult> ranks;
    std::vector<double> losses, norms;
    std::map<std::string, double> final_norms;
    std::map<std::string, std::uint64_t> hashes;
};

inline Trained combine(const schedule::Schedule& schedule, std::vector<exec::RankResult> ranks) {
    Trained t;
    for (const auto& step : ranks[0].steps) {
        t.losses.push_back(step.loss);
        t.norms.push_back(step.gradient_norm);
    }
    for (std::size_t p = 0; p < schedule.parameters.size(); ++p) {
        double squares = 0;
        std::uint64_t hash = 0;
        for (const auto& rank : ranks) {
            squares += rank.final_parameters[p].squared_norm;
            hash += rank.final_parameters[p].hash;
        }
        t.final_norms[schedule.parameters[p]] = std::sqrt(squares);
        t.hashes[schedule.parameters[p]] = hash;
    }
    t.ranks = std::move(ranks);
    return t;
}

inline std::vector<exec::RankResult> run(const schedule::Schedule& schedule, const exec::HostRankOptions& host, const exec::ExecuteOptions& options) {
    std::vector<comm::Progress> progress(static_cast<std::size_t>(schedule.ranks));
    return exec::run_local(schedule, host, options, progress);
}

inline Trained train(const strategy::Scenario& s, bool planned_arena = true) {
    const auto schedule = strategy::plan(s);
    for (const auto& violation : schedule::validate(schedule)) throw BugError(violation.what);
    exec::HostRankOptions host;
    host.data = s.training.data;
    host.vocabulary = s.model.real_vocabulary;
    host.planned_arena = planned_arena;
    auto options = options_of(s);
    while (options.initial.starts.size() < schedule.parameters.size())   // adapters
        options.initial.starts.push_back(strategy::starts_as_zero(schedule.parameters[options.initial.starts.size()]) ? data::Start::zero : data::Start::random);
    return combine(schedule, run(schedule, host, options));
}

}  // namespace zerosim::test
