// AdamW against a double reference; the same bits for every partition of the shard and number of threads.
#include "kernel_testing.hpp"

#include <gtest/gtest.h>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

kernel::Attributes adam_attributes() {
    kernel::Attributes attributes;
    attributes.learning_rate = 1e-2f, attributes.beta1 = 0.9f, attributes.beta2 = 0.95f, attributes.epsilon = 1e-8f;
    attributes.weight_decay = 0.1f;
    return attributes;
}

/// Loshchilov, Hutter 2019, algorithm 2, one element, in double.
struct Reference {
    double p, m, v;
    void update(double g, double step, bool decays) {
        const auto a = adam_attributes();
        const double rate = a.learning_rate, beta1 = a.beta1, beta2 = a.beta2;
        if (decays) p *= 1.0 - rate * a.weight_decay;
        m = beta1 * m + (1 - beta1) * g;
        v = beta2 * v + (1 - beta2) * g * g;
        p -= rate * (m / (1 - std::pow(beta1, step))) / (std::sqrt(v / (1 - std::pow(beta2, step))) + a.epsilon);
    }
};

struct Shard {
    explicit Shard(std::int64_t count, DType parameter_type, bool with_master, DType moment_type, DType gradient_type)
        : parameter(1, count, parameter_type),
          master(1, with_master ? count : 0),
          m(1, count, moment_type),
          v(1, count, moment_type),
          gradient(1, count, gradient_type),
          mastered(with_master) {
        parameter.randomize(1), m.randomize(2, 1e-2), gradient.randomize(4);
        auto positive = v.randomize(3, 1e-2).values();
        for (double& value : positive) value = std::abs(value);
        v.set(positive);
        if (mastered) master.set(parameter.values());
    }
    Tensor parameter, master, m, v, gradient;
    bool mastered;
    float factor = 0.5f, skip = 0, step = 3;

    void update(std::int64_t begin, std::int64_t count, const std::vector<RangeSegment>& range, Workers* workers = nullptr) {
        const TensorView none;
        run(Kernel::adamw, adam_attributes(),
            {slice(parameter.view(), begin, count), mastered ? slice(master.view(), begin, count) : none,
             slice(m.view(), begin, count), slice(v.view(), begin, count), slice(gradient.view(), begin, count), scalar(factor),
             scalar(skip), scalar(step)},
            {.workers = workers}, range);
    }
    bool operator==(const Shard& other) const {
        return parameter.bytes() == other.parameter.bytes() && master.bytes() == other.master.bytes() &&
               m.bytes() == other.m.bytes() && v.bytes() == other.v.bytes();
    }
};

struct Precision {
    const char* name;
    DType parameter;
    bool master;
    DType moments, gradient;
};

class AdamWPrecision : public ::testing::TestWithParam<Precision> {
protected:
    static Shard shard(std::int64_t count) {
        return Shard(count, GetParam().parameter, GetParam().master, GetParam().moments, GetParam().gradient);
    }
};
INSTANTIATE_TEST_SUITE_P(Precisions, AdamWPrecision,
                         ::testing::Values(Precision{"fp32", DType::fp32, false, DType::fp32, DType::fp32},
                                           Precision{"bf16_mixed", DType::bf16, true, DType::fp32, DType::bf16},
                                           Precision{"bf16_mixed_fp32_gradient", DType::bf16, true, DType::fp32, DType::fp32},
                                           Precision{"fp16_mixed", DType::fp16, true, DType::fp32, DType::fp16},
                                           Precision{"bf16", DType::bf16, false, DType::bf16, DType::bf16}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST_P(AdamWPrecision, FollowsTheReference) {
    const std::int64_t count = 1000;
    const std::vector<RangeSegment> range{{0, 300, true}, {300, 450, false}, {760, 200, true}}; // 750..760 and 960.. are padding
    Shard s = shard(count);
    const Shard before = s;
    s.update(0, count, range);
    const auto p0 = before.parameter.values(), m0 = before.m.values(), v0 = before.v.values(), g = before.gradient.values();
    const auto p = s.parameter.values(), m = s.m.values(), v = s.v.values();
    const auto master = GetParam().master ? s.master.values() : p;
    const double parameter_error = GetParam().master ? 0x1p-22 : epsilon_of(GetParam().parameter),
                 moment_error = epsilon_of(GetParam().moments);
    std::vector<bool> covered(static_cast<std::size_t>(count));
    for (const auto& segment : range)
        for (auto i = static_cast<std::size_t>(segment.offset); i < static_cast<std::size_t>(segment.offset + segment.count);
             ++i) {
            covered[i] = true;
            Reference reference{p0[i], m0[i], v0[i]};
            reference.update(g[i] * 0.5, 3, segment.decays);
            EXPECT_NEAR(m[i], reference.m, moment_error * std::abs(reference.m) + 1e-8) << i;
            EXPECT_NEAR(v[i], reference.v, (moment_error + 1e-6) * reference.v) << i;
            EXPECT_NEAR(master[i], reference.p, 2 * parameter_error * std::abs(reference.p) + 1e-7) << i;
        }
    for (std::size_t i = 0; i < covered.size(); ++i)
        if (!covered[i]) {
            EXPECT_TRUE(p[i] == p0[i] && m[i] == m0[i] && v[i] == v0[i]) << "padding element " << i << " was changed";
        }
    if (GetParam().master) {
        Tensor rounded(1, count, GetParam().parameter);
        host::copy(nullptr, s.master.view(), rounded.view(), false);
        EXPECT_EQ(rounded.bytes(), s.parameter.bytes());
    }
}

TEST_P(AdamWPrecision, BitsDoNotDependOnThePartition) {
    const std::int64_t count = 100'003, decays_until = 60'001;
    Shard whole = shard(count);
    Workers workers(2);
    whole.update(0, count, {{0, decays_until, true}, {decays_until, count - decays_until, false}}, &workers);
    for (const std::int64_t parts : {2, 3, 7, 1000}) {
        Shard cut = shard(count);
        const std::int64_t size = (count + parts - 1) / parts;
        for (std::int64_t begin = 0; begin < count; begin += size) {
            const std::int64_t n = std::min(size, count - begin), decaying = std::clamp<std::int64_t>(decays_until - begin, 0, n);
            cut.update(begin, n, {{0, decaying, true}, {decaying, n - decaying, false}});
        }
        EXPECT_TRUE(cut == whole) << parts << " parts";
    }
}

TEST(AdamW, SkipLeavesEverything) {
    Shard s(100, DType::bf16, true, DType::fp32, DType::bf16);
    const Shard before = s;
    s.skip = 1;
    s.factor = std::nanf("");
    s.update(0, 100, {{0, 100, true}});
    EXPECT_TRUE(s == before);
}

TEST(AdamW, NoElements) {
    Shard s(0, DType::fp32, false, DType::fp32, DType::fp32);
    s.update(0, 0, {});
}

} // namespace
} // namespace zerosim::device::testing
