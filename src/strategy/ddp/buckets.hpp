// DDP's reducer: one bucket of everything in the first iteration, then buckets in the order in which gradients became ready.
// Driven by the planner's hooks. Source: torch/csrc/distributed/c10d/reducer.cpp.
// Reduces fp32 or bf16 gradients as they are; the buckets hold copies, or (gradient_as_bucket_view) the gradients themselves.
#pragma once

#include "strategy/torch/language_model.hpp"

#include <unordered_map>
#include <vector>

namespace zerosim::strategy::ddp {

struct ReducerOptions {
    std::int64_t cap_bytes = 0;
    bool gradient_as_bucket_view = false;
    StreamId stream;     // of collectives
    AxisId axis;
    PoolId pool;         // of that stream: scratch of host ranks
    std::int64_t ranks = 1;
};

class Reducer {
public:
    Reducer(torch::Tape& tape, torch::LanguageModel& model, const ReducerOptions& options);
    /// Before a forward: the second one rebuilds the buckets.
    void before_forward();
    /// After the first step: nothing happens between it and the second step's forward, and a steady step must be like the next.
    void end_first_step();
    /// End of backward: collectives are waited for and gradients copied back.
    void finalize();

private:
    struct Bucket {
        torch::Buffer buffer;
        std::vector<torch::Parameter*> parameters;
        TensorId tensor;
        std::size_t ready = 0;
        OpId reduced;
    };
    struct Place {
        std::size_t bucket = 0;
        TensorId view;
    };
    void ready(torch::Parameter& parameter);
    void make_bucket(std::vector<torch::Parameter*> parameters);
    void rebuild();
    void launch(Bucket& bucket);

    torch::Tape& tape_;
    ReducerOptions options_;
    std::vector<torch::Parameter*> ready_order_;
    std::vector<Bucket> buckets_;
    std::unordered_map<const torch::Parameter*, Place> places_;
    int forwards_ = 0;
    bool rebuilt_ = false;
};

}  // namespace zerosim::strategy::ddp
