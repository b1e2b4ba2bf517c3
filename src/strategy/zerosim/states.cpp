#include "strategy/zerosim/states.hpp"

#include <fmt/format.h>

namespace zerosim::strategy::zerosim_system {
namespace {

using schedule::Linear;

class StateEmitter {
public:
    explicit StateEmitter(Context& context) : c_(context) { states_.sharding = Sharding::of(c_.stage(), c_.scenario.ranks); }

    States run() {
        for (std::size_t unit = 0; unit < c_.units(); ++unit) states_.units.push_back(emit_unit(unit));
        emit_scalars();
        emit_input();
        return std::move(states_);
    }

private:
    TensorId own(std::size_t unit, std::string_view what, DType type, Role role, bool shard) {
        const auto& layout = c_.layout(unit);
        const std::int64_t width = size_of(type);
        const std::string name = fmt::format("{} {}", c_.unit_name(unit), what);
        const StorageId storage = shard ? c_.program.shard_storage(name, layout.shard * width, layout.total * width, c_.compute_pool, role)
                                        : c_.program.storage(name, layout.padded * width, c_.compute_pool, role);
        if (!shard) c_.program.at(storage).payload_total = layout.total * width;
        c_.program.alloc(storage);
        return c_.program.tensor(name, storage, type, 1, shard ? layout.shard : layout.padded);
    }

    /// The rank's own slice of a whole unit; the whole where nothing is sharded.
    TensorId own_slice(std::size_t unit, TensorId whole, bool sharded) {
        if (!sharded) return whole;
        const schedule::Tensor tensor = c_.program.at(whole);
        const std::string name = fmt::format("{} own slice", c_.program.name_of(whole));
        const TensorId slice = c_.program.tensor(name, tensor.storage, tensor.dtype, 1, c_.layout(unit).shard, c_.shard_offset(unit, tensor.dtype));
        c_.program.at(slice).role = tensor.role;
        return slice;
    }

    UnitStates emit_unit(std::size_t unit) {
        const Sharding& sharding = states_.sharding;
        const bool mixed = has_master_weights(c_.scenario.training.precision);
        const DType moment = c_.dtype() == DType::fp32 || mixed ? DType::fp32 : c_.dtype();   // pure bf16 keeps moments in bf16, as PyTorch does
        UnitStates s;
        if (sharding.parameters) {
            s.parameter_shard = own(unit, "parameters", c_.dtype(), Role::parameter_shard, true);
        } else {
            s.parameter = own(unit, "parameters", c_.dtype(), Role::parameter, false);
            s.parameter_shard = own_slice(unit, s.parameter, sharding.optimizer);
        }
        if (sharding.gradients) {
            s.gradient_shard = own(unit, "gradients", c_.dtype(), Role::gradient_shard, true);
        } else {
            s.gradient = own(unit, "gradients", c_.dtype(), Role::gradient, false);
            s.gradient_shard = own_slice(unit, s.gradient, sharding.optimizer);
        }
        if (mixed) s.master = own(unit, "master weights", DType::fp32, Role::master_weight, sharding.optimizer);
        s.first_moment = own(unit, "first moments", moment, Role::first_moment, sharding.optimizer);
        s.second_moment = own(unit, "second moments", moment, Role::second_moment, sharding.optimizer);
        initialise(unit, s);
        return s;
    }

    void initialise(std::size_t unit, const UnitStates& s) {
        const auto optimizer_range = states_.sharding.optimizer ? c_.shard_range(unit) : c_.whole_range(unit);
        if (s.parameter.valid()) c_.program.initialize(c_.compute, s.parameter, {}, c_.whole_range(unit));
        else c_.program.initialize(c_.compute, s.parameter_shard, {}, c_.shard_range(unit));
        if (s.master.valid()) c_.program.initialize(c_.compute, {}, s.master, optimizer_range);
        c_.program.fill(c_.compute, s.gradient.valid() ? s.gradient : s.gradient_shard, 0);
        c_.program.fill(c_.compute, s.first_moment, 0);
        c_.program.fill(c_.compute, s.second_moment, 0);
    }

    void emit_scalars() {
        constexpr std::int64_t doubles = 1 + kernel::kNormBins + 1, floats = 5;
        const StorageId storage = c_.program.storage("scalars", doubles * 8 + floats * 4, c_.compute_pool, Role::scalar);
        c_.program.alloc(storage);
        const auto f64 = [&](std::string_view name, std::int64_t at, std::int64_t count) {
            return c_.program.tensor(name, storage, DType::fp64, 1, count, Linear{at * 8, 0, {}});
        };
        const auto f32 = [&](std::string_view name, std::int64_t at) { return c_.program.tensor(name, storage, DType::fp32, 1, 1, Linear{doubles * 8 + at * 4, 0, {}}); };
        Scalars& s = states_.scalars;
        s.loss = f64("loss", 0, 1);
        s.norm_bins = f64("squared norm bins", 1, kernel::kNormBins);
        s.loss_and_bins = f64("loss and squared norm", 0, 1 + kernel::kNormBins);
        s.norm = f64("gradient norm", 1 + kernel::kNormBins, 1);
        s.factor = f32("gradient factor", 0);
        s.skip = f32("skip step", 1);
        s.step = f32("optimizer steps", 2);
        s.loss_scale = f32("loss scale", 3);
        s.good_steps = f32("good steps", 4);
        const bool scaled = c_.scenario.training.precision == Precision::fp16_mixed;
        c_.program.fill(c_.compute, s.loss_and_bins, 0);
        for (const TensorId zero : {s.norm, s.factor, s.skip, s.step, s.good_steps}) c_.program.fill(c_.compute, zero, 0);
        c_.program.fill(c_.compute, s.loss_scale, scaled ? c_.scenario.training.initial_loss_scale : 1.0);
    }

    void emit_input() {
        const std::int64_t tokens = c_.scenario.training.micro_batch * c_.scenario.training.sequence_length;
        const StorageId storage = c_.program.storage("input", 2 * tokens * 4, c_.compute_pool, Role::input);
        c_.program.alloc(storage);
        states_.tokens = c_.program.tensor("tokens", storage, DType::int32, 1, tokens);
        states_.targets = c_.program.tensor("targets", storage, DType::int32, 1, tokens, Linear{tokens * 4, 0, {}});
    }

    Context& c_;
    States states_;
};

}  // namespace

States emit_states(Context& context) { return StateEmitter(context).run(); }

}  // namespace zerosim::strategy::zerosim_system
