// Compares what two plans of one training computed: losses, gradient norms and final parameters, by relative differences.
// Called by contract tests and by tests of planners.
// Does not run anything (training.hpp does), and knows no recorded reference (reference.hpp does).
#pragma once

#include "support/training.hpp"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace zerosim::test {

/// Relative; what has none is not compared.
struct Closeness {
    double loss;
    std::optional<double> gradient_norm = {}, parameter_norm = {};
    double parameter_floor = 0;   // beside parameter_norm, for parameters that are near zero
};

inline void expect_same_training(const Trained& trained, const Trained& expected, const Closeness& close, const std::string& what) {
    ASSERT_FALSE(expected.losses.empty()) << what;
    ASSERT_EQ(trained.losses.size(), expected.losses.size()) << what;
    ASSERT_EQ(trained.norms.size(), expected.norms.size()) << what;
    for (std::size_t i = 0; i < expected.losses.size(); ++i) {
        EXPECT_NEAR(trained.losses[i], expected.losses[i], close.loss * expected.losses[i]) << what << ", step " << i;
        if (close.gradient_norm) {
            EXPECT_NEAR(trained.norms[i], expected.norms[i], *close.gradient_norm * expected.norms[i]) << what << ", step " << i;
        }
    }
    if (!close.parameter_norm) return;
    ASSERT_EQ(trained.final_norms.size(), expected.final_norms.size()) << what;
    for (const auto& [name, norm] : expected.final_norms)
        EXPECT_NEAR(trained.final_norms.at(name), norm, *close.parameter_norm * norm + close.parameter_floor) << what << ", " << name;
}

}  // namespace zerosim::test
