#include "strategy/ddp/buckets.hpp"

#include <utility>

namespace zerosim::strategy::ddp {

using torch::Parameter;

Reducer::Reducer(torch::Tape& tape, torch::LanguageModel& model, const ReducerOptions& options) : tape_(tape), options_(options) {
    std::vector<Parameter*> all;
    for (Parameter& p : model.parameters()) {
        if (!p.trainable) continue;
        all.push_back(&p);
        p.after_accumulate = [this, &p] { ready(p); };
    }
    make_bucket(std::move(all));
}

void Reducer::make_bucket(std::vector<Parameter*> parameters) {
    Bucket& bucket = buckets_.emplace_back();
    std::int64_t elements = 0;
    for (const Parameter* p : parameters) elements += p->elements();
    const DType dtype = parameters.front()->dtype;
    bucket.buffer = tape_.memory.allocate("bucket", elements * size_of(dtype), tape_.options.pool, schedule::Role::bucket);
    bucket.tensor = tape_.program.tensor("bucket", bucket.buffer.storage(), dtype, elements, 1);
    std::int64_t offset = 0;
    for (const Parameter* p : parameters) {
        const TensorId view = tape_.program.tensor(p->name, bucket.buffer.storage(), dtype, p->rows, p->columns, {offset, 0, {}});
        places_[p] = {buckets_.size() - 1, view};
        offset += p->elements() * size_of(dtype);
    }
    bucket.parameters = std::move(parameters);
}

/// [rebuild_buckets]: a bucket closes when it has reached the cap; a tensor is never split.
void Reducer::rebuild() {
    rebuilt_ = true;
    buckets_.clear();
    std::vector<Parameter*> open;
    std::int64_t bytes = 0;
    for (Parameter* p : ready_order_) {
        open.push_back(p);
        bytes += p->elements() * size_of(p->dtype);
        if (bytes < options_.cap_bytes) continue;
        make_bucket(std::exchange(open, {}));
        bytes = 0;
    }
    if (!open.empty()) make_bucket(std::move(open));
}

void Reducer::before_forward() {
    if (++forwards_ == 2 && !rebuilt_) rebuild();
    for (Bucket& bucket : buckets_) bucket.ready = 0;
}

void Reducer::end_first_step() {
    if (!rebuilt_) rebuild();
}

void Reducer::ready(Parameter& p) {
    if (forwards_ == 1) ready_order_.push_back(&p);
    const Place& place = places_.at(&p);
    Bucket& bucket = buckets_[place.bucket];
    if (p.gradient.tensor != place.view) tape_.program.copy(tape_.options.stream, p.gradient.tensor, place.view);
    if (options_.gradient_as_bucket_view) {
        p.gradient.buffer.reset();   // the gradient is the bucket's view from now on
        p.gradient.tensor = place.view;
    }
    if (++bucket.ready == bucket.parameters.size()) launch(bucket);
}

/// ProcessGroupNCCL's stream waits for the current one, and nobody for it until the end of backward. DDP divides by the number of ranks
/// as it copies into the bucket; here the reduction averages.
void Reducer::launch(Bucket& bucket) {
    schedule::Collective c;
    c.kind = CollectiveKind::all_reduce;
    c.axis = options_.axis;
    c.send = c.receive = bucket.tensor;
    c.reduction = Reduction::average;
    tape_.program.wait_stream(options_.stream, tape_.options.stream);
    const torch::Buffer room = tape_.reduction_scratch(c, options_.pool, options_.ranks);
    bucket.reduced = tape_.program.collective(options_.stream, "all_reduce", c);
}

void Reducer::finalize() {
    std::vector<OpId> reduced;
    for (const Bucket& bucket : buckets_) reduced.push_back(bucket.reduced);
    std::vector<TensorId> pairs;
    if (!options_.gradient_as_bucket_view) {
        for (const Bucket& bucket : buckets_)
            for (const Parameter* p : bucket.parameters)
                if (p->gradient.defined()) {
                    pairs.push_back(places_.at(p).view);
                    pairs.push_back(p->gradient.tensor);
                }
    }
    if (pairs.empty()) {
        tape_.program.mark(tape_.options.stream, "gradients_reduced", reduced);
    } else {
        tape_.program.copy_all(tape_.options.stream, pairs, reduced);
    }
}

}  // namespace zerosim::strategy::ddp
