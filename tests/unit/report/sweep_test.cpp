#include "report/cells.hpp"
#include "report/sweep_svg.hpp"
#include "report/sweep_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

analysis::SweepPoint point(std::int64_t ranks, double step, double rate, bool fits = true) {
    analysis::SweepPoint p;
    p.values = {std::to_string(ranks)};
    p.ranks = ranks;
    p.micro_batch = 2;
    p.gradient_accumulation = 1;
    p.global_batch = 2 * ranks;
    p.time.step = step;
    p.time.exposed_communication = 0.25 * step;
    p.tokens_per_second_per_device = rate;
    p.tokens_per_second = rate * static_cast<double>(ranks);
    p.model_flops_utilization = 0.4;
    p.peak_allocated = 30ll << 30;
    p.needed = 40ll << 30;
    p.device_total = 80ll << 30;
    p.fits = fits;
    return p;
}

analysis::SweepReport sweep() {
    analysis::SweepReport report;
    report.scenario = {{"model", "m<1>"}, {"cluster", "c"}, {"strategy.system", "zerosim"}, {"strategy.zero-stage", "3"}};
    report.scaling = "weak";
    report.axes = {{"ranks", {"8", "48", "64", "512"}}};
    report.points = {point(8, 1.0, 1000), {}, point(64, 1.25, 800), point(512, 2.0, 500, false)};
    report.points[1].values = {"48"};
    report.points[1].error = "no, \"48\" is refused";
    analysis::add_efficiencies(report);
    return report;
}

TEST(Sweep, EfficiencyIsOfTheFirstPointOfACurve) {
    analysis::SweepReport report = sweep();
    EXPECT_DOUBLE_EQ(report.points[0].efficiency, 1);
    EXPECT_DOUBLE_EQ(report.points[2].efficiency, 0.8);
    EXPECT_DOUBLE_EQ(report.points[3].efficiency, 0.5);
    report.axes.push_back({"train.micro-batch", {"1", "2"}});
    report.points = {point(8, 1, 100), point(8, 1, 200), point(16, 1, 90), point(16, 1, 100)};
    for (std::size_t i = 0; i < 4; ++i) report.points[i].values.push_back(i % 2 == 0 ? "1" : "2");
    analysis::add_efficiencies(report);
    EXPECT_DOUBLE_EQ(report.points[2].efficiency, 0.9);
    EXPECT_DOUBLE_EQ(report.points[3].efficiency, 0.5);
}

TEST(Sweep, TableHasARowAPointAndSaysWhatIsRefused) {
    const std::string text = render_sweep_table(sweep());
    EXPECT_THAT(text, HasSubstr("weak scaling"));
    EXPECT_THAT(text, HasSubstr("128 = 64x2x1  1250.000    51,200         800        80.0     25.0  40.0    40.0   yes"));
    EXPECT_THAT(text, HasSubstr("NO"));
    EXPECT_THAT(text, HasSubstr("refused: ranks 48: no, \"48\" is refused"));
    EXPECT_THAT(text, HasSubstr("efficiency (%)"));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

TEST(Sweep, WhereRanksStayThereIsNoScalingAndThroughputIsPlotted) {
    analysis::SweepReport report = sweep();
    report.axes = {{"strategy.zero-stage", {"0", "1", "2", "3"}}};
    report.points[3].time.step = 200;
    const std::string text = render_sweep_table(report);
    EXPECT_THAT(text, Not(HasSubstr("scaling")));
    EXPECT_THAT(text, HasSubstr("tokens/s, all devices\n"));
    EXPECT_THAT(text, HasSubstr("200.000")) << "steps of minutes are in seconds";
    EXPECT_THAT(render_sweep_svg(report), Not(HasSubstr("scaling")));
    report.scaling = "strong";
    EXPECT_THAT(render_sweep_table(report), HasSubstr("strong scaling: the global batch stays"));
}

TEST(Sweep, SaysWhatIsFastestOfWhatFitsOrThatNothingDoes) {
    analysis::SweepReport report = sweep();
    EXPECT_THAT(render_sweep_table(report), HasSubstr("fastest of the 2 that fit: ranks 64 with 51,200 tokens/s")) << "512 ranks are faster and do not fit";
    for (analysis::SweepPoint& each : report.points) each.fits = false;
    report.points[2].needed = 35ll << 30;
    EXPECT_THAT(render_sweep_table(report), HasSubstr("nothing fits; the smallest: ranks 64 with 35.0 GiB"));
}

TEST(Cells, LargeAmountsHaveTheirThousandsApart) {
    EXPECT_EQ(grouped("1234567.8"), "1,234,567.8");
    EXPECT_EQ(grouped("-123456"), "-123,456");
    EXPECT_EQ(grouped("999"), "999");
    EXPECT_EQ(mib(131562.5 * kMiB), "131,562.5");
    EXPECT_EQ(mib(9999.5 * kMiB), "9999.5");
    EXPECT_EQ(mib(1.0), "<0.0001");
}

TEST(Sweep, JsonIsOneObjectWithNumbers) {
    const auto root = nlohmann::json::parse(render_sweep_json(sweep()));
    EXPECT_EQ(root.at("over").at(0).at("values").at(3), 512);
    ASSERT_EQ(root.at("points").size(), 4u);
    EXPECT_EQ(root["points"][1].at("error"), "no, \"48\" is refused");
    EXPECT_FALSE(root["points"][1].contains("step_seconds"));
    EXPECT_DOUBLE_EQ(root["points"][2].at("step_seconds"), 1.25);
    EXPECT_EQ(root["points"][3].at("fits"), false);
    EXPECT_EQ(root["points"][3].at("values").at("ranks"), 512);
}

TEST(Sweep, CsvHasALineAPoint) {
    std::istringstream csv(render_sweep_csv(sweep()));
    std::vector<std::string> lines;
    for (std::string line; std::getline(csv, line);) lines.push_back(line);
    ASSERT_EQ(lines.size(), 5u);
    EXPECT_THAT(lines[0], ::testing::StartsWith("ranks,micro_batch,"));
    EXPECT_THAT(lines[2], HasSubstr("\"no, \"\"48\"\" is refused\""));
    EXPECT_THAT(lines[3], ::testing::StartsWith("64,2,1,128,1.25,"));
}

TEST(Sweep, SvgHasLabelledAxesTicksAndHollowMarks) {
    const std::string svg = render_sweep_svg(sweep());
    EXPECT_THAT(svg, ::testing::StartsWith("<svg xmlns="));
    EXPECT_THAT(svg, ::testing::EndsWith("</svg>\n"));
    for (const char* label : {">ranks (log2)<", ">tokens/s, all devices<", ">efficiency (%)<", ">memory of a device (GiB)<", ">512<", ">100<", ">device<", ">ideal<"})
        EXPECT_THAT(svg, HasSubstr(label));
    EXPECT_THAT(svg, HasSubstr("m&lt;1&gt;, zerosim, ZeRO-3, c, weak scaling"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
    std::size_t hollow = 0;
    for (std::size_t at = svg.find("fill=\"white\" stroke"); at != std::string::npos; at = svg.find("fill=\"white\" stroke", at + 1)) ++hollow;
    EXPECT_EQ(hollow, 3u);   // the point that does not fit, in three panels
}

TEST(Sweep, NamesAndSinglePointsAreDrawnToo) {
    analysis::SweepReport report = sweep();
    const std::vector<std::string> names{"a-cluster-of-a-long-name", "another-of-a-long-name", "a-third-one", "a-fourth-of-a-long-name"};
    report.axes = {{"cluster", names}};
    report.points.clear();
    for (const std::string& name : names) {
        report.points.push_back(point(8, 1, 100));
        report.points.back().values = {name};
    }
    EXPECT_THAT(render_sweep_svg(report), Not(HasSubstr("nan")));
    for (const std::string& name : names) EXPECT_THAT(render_sweep_svg(report), HasSubstr('>' + name + '<'));
    EXPECT_THAT(render_sweep_table(report), HasSubstr("vs first"));
    report.axes = {{"ranks", {"8"}}};
    report.points.resize(1);
    report.points[0].values = {"8"};
    EXPECT_THAT(render_sweep_svg(report), Not(HasSubstr("nan")));
    EXPECT_THAT(render_sweep_table(report), HasSubstr("1000.000"));
}

}  // namespace
}  // namespace zerosim::report
