// Clipping factor, skipped steps and the dynamic loss scale.
#include "kernel_testing.hpp"

#include <gtest/gtest.h>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;

struct Scale {
    Tensor gradient = Tensor(1, 4);
    std::vector<double> bins = std::vector<double>(kernel::kNormBins);
    float loss_scale = 1, step = 5, factor = -1, skip = -1;
    double norm = -1;
    void run_with(std::vector<double> values, float clip, bool scaled) {
        const TensorView bin_view{bins.data(), 1, kernel::kNormBins, kernel::kNormBins, DType::fp64};
        gradient.set(values);
        run(Kernel::squared_norm, {}, {gradient.view(), bin_view}, {}, {{0, 4, true}});
        kernel::Attributes attributes;
        attributes.clip = clip;
        run(Kernel::gradient_scale, attributes,
            {bin_view, scaled ? scalar(loss_scale) : TensorView{}, scalar(step), scalar(norm), scalar(factor), scalar(skip)});
    }
};

TEST(GradientScale, NormWithoutClipping) {
    Scale s;
    s.run_with({3, 4, 0, 0}, 0, false);
    EXPECT_EQ(s.norm, 5.0);
    EXPECT_EQ(s.factor, 1.0f);
    EXPECT_EQ(s.skip, 0.0f);
    EXPECT_EQ(s.step, 6.0f);
}

TEST(GradientScale, ClipsLongGradientsOnly) {
    Scale longer, shorter;
    longer.run_with({3, 4, 0, 0}, 1, false);
    EXPECT_EQ(longer.factor, static_cast<float>(1.0 / (5.0 + 1e-6)));
    EXPECT_EQ(longer.norm, 5.0) << "the norm is before clipping";
    shorter.run_with({0.3, 0.4, 0, 0}, 1, false);
    EXPECT_EQ(shorter.factor, 1.0f);
}

TEST(GradientScale, UndoesTheLossScale) {
    Scale s;
    s.loss_scale = 1024;
    s.run_with({3 * 1024, 4 * 1024, 0, 0}, 1, true);
    EXPECT_EQ(s.norm, 5.0);
    EXPECT_EQ(s.factor, static_cast<float>(1.0 / (5.0 + 1e-6) / 1024));
    EXPECT_EQ(s.skip, 0.0f);
}

TEST(GradientScale, OverflowSkipsTheStepUnderALossScale) {
    Scale s;
    s.run_with({1, INFINITY, 0, 0}, 1, true);
    EXPECT_EQ(s.skip, 1.0f);
    EXPECT_EQ(s.step, 5.0f);
    EXPECT_FALSE(std::isfinite(s.norm));
}

TEST(GradientScale, OverflowWithoutALossScaleIsNotHidden) {
    Scale s;
    s.run_with({1, std::nan(""), 0, 0}, 1, false);
    EXPECT_EQ(s.skip, 0.0f);
    EXPECT_TRUE(std::isnan(s.factor));
    EXPECT_TRUE(std::isnan(s.norm));
}

struct DynamicScale {
    float skip = 0, scale = 65536, good_steps = 0;
    void update(bool skipped) {
        skip = skipped ? 1.0f : 0.0f;
        run(Kernel::loss_scale_update, {}, {scalar(skip), scalar(scale), scalar(good_steps)});
    }
};

TEST(LossScale, HalvesOnOverflowDownToOne) {
    DynamicScale s;
    s.good_steps = 10;
    s.update(true);
    EXPECT_EQ(s.scale, 32768.0f);
    EXPECT_EQ(s.good_steps, 0.0f);
    for (int i = 0; i < 40; ++i) s.update(true);
    EXPECT_EQ(s.scale, 1.0f);
}

TEST(LossScale, DoublesAfterAThousandGoodSteps) {
    DynamicScale s;
    for (int i = 0; i < 999; ++i) s.update(false);
    EXPECT_EQ(s.scale, 65536.0f);
    s.update(false);
    EXPECT_EQ(s.scale, 131072.0f);
    EXPECT_EQ(s.good_steps, 0.0f);
}

} // namespace
} // namespace zerosim::device::testing
