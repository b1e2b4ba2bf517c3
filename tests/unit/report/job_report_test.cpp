// Variation and reliability in a report: read back as written, and lines that fit a terminal.
#include "report/json.hpp"
#include "report/table.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace zerosim::report {
namespace {

analysis::RunReport long_job() {
    analysis::RunReport report;
    report.simulated = true;
    report.time.step = 18.475;
    report.ranks.push_back({});
    report.variation = analysis::VariationReport{18.475, 13.412, 16384, 5.5938, 15.638, 4.2, 10.876, 10.924, 14.214, {{17, 14.214, 0.001, 15.609, 287}, {16383, 11.5, 2, 0.25, 3}}};
    report.reliability = analysis::ReliabilityReport{178161.3, 2'444'459'630'592, 19.55, 2628.5, 619.5, 0.0074, 0.0108, 0.0001, 0.9817};
    return report;
}

TEST(JobReport, is_read_back_as_written) {
    const std::string text = render_json(long_job());
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    EXPECT_NE(text.find("\"goodput\": 0.9817"), std::string::npos);
    EXPECT_NE(text.find("\"waited_for\""), std::string::npos);
}

TEST(JobReport, tables_fit_and_say_who_is_waited_for) {
    const std::string text = variation_section(long_job(), Style::plain) + reliability_section(long_job(), Style::plain);
    EXPECT_NE(text.find("rank 17"), std::string::npos);
    EXPECT_NE(text.find("goodput 98.2 %"), std::string::npos);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

TEST(JobReport, says_where_the_library_chooses_otherwise_and_of_equal_kernels_one_time) {
    analysis::RunReport report = long_job();
    EXPECT_EQ(variation_section(report, Style::plain).find("chooses otherwise"), std::string::npos);
    EXPECT_NE(variation_section(report, Style::plain).find("kernels of a rank take 10876.000 to 14214.000 ms, 10924.000 on average"), std::string::npos) << variation_section(report, Style::plain);
    report.variation->other_algorithms = 3;
    report.variation->shortest_busy = report.variation->mean_busy = report.variation->longest_busy;
    const std::string text = variation_section(report, Style::plain);
    EXPECT_NE(text.find("on the weaker links the library chooses otherwise for 3 of the collectives"), std::string::npos) << text;
    EXPECT_NE(text.find("kernels of every rank take 14214.000 ms\n"), std::string::npos) << text;
    EXPECT_EQ(parse_json(render_json(report), "test").variation->other_algorithms, 3);
}

TEST(JobReport, failures_that_cost_nothing_are_not_mentioned) {
    analysis::RunReport report = long_job();
    report.reliability->goodput = 0.9999;
    report.variation.reset();
    EXPECT_EQ(reliability_section(report, Style::plain) + variation_section(report, Style::plain), "");
}

}  // namespace
}  // namespace zerosim::report
