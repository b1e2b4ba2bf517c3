// Curves in plain text: a letter for each, and a mark, explained below, where several meet.
#include "report/text_plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::report {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string plot(double second_of_b) {
    Curves curves;
    curves.x = {"ranks", Scale::linear, {"1", "2"}, {0.0, 1.0}};
    CurveSet set;
    set.label = "efficiency (%)";
    set.curves = {{"micro-batch 1", {{0, 100}, {1, 90}}}, {"micro-batch 4", {{0, 50}, {1, second_of_b}}}};
    return text_plot(curves, set, Style{});
}

TEST(TextPlot, says_what_stands_where_curves_meet) { EXPECT_THAT(plot(90), HasSubstr("a = micro-batch 1   b = micro-batch 4   # = several")); }

TEST(TextPlot, has_no_such_mark_where_none_do) { EXPECT_THAT(plot(20), Not(HasSubstr("#"))); }

} // namespace
} // namespace zerosim::report
