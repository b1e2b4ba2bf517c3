// What a run adds to a report: memory by the driver's figure and the paths of its collectives on GPUs, the state of its links on CPUs.
#include "analysis/compare.hpp"
#include "report/json.hpp"
#include "report/table.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::report {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kMebibyte = 1 << 20;

analysis::RunReport simulated() {
    const auto example = hand_made::example();
    return analysis::analyze(example.schedule, hand_made::measured(example.ops, 0), hand_made::cluster(), hand_made::facts());
}

/// A GPU of 80 GiB: 500 MiB of context, 100 of communicators, 64 of libraries, 20 of kernels.
analysis::RunReport on_a_gpu() {
    analysis::RunReport report = simulated();
    analysis::DriverReport driver;
    driver.used = driver.settled = 2000 * kMebibyte;
    driver.others = 16 * kMebibyte;
    driver.context = 500 * kMebibyte;
    driver.pools = 1300 * kMebibyte;
    driver.communicators = 100 * kMebibyte;
    driver.libraries = 64 * kMebibyte;
    driver.other = 20 * kMebibyte;
    analysis::use_driver(report.memory, driver, 80 * 1024 * kMebibyte);
    report.transport = analysis::TransportReport{"auto", {{"nvlink", "NVLS", 8, 8}, {"network", "NET/IB/GDRDMA", 1, 16}}};
    return report;
}

TEST(DeviceReport, MeasuredFiguresTakeThePlaceOfThePredicted) {
    const std::int64_t predicted = simulated().memory.context;
    const analysis::MemoryReport memory = on_a_gpu().memory;
    EXPECT_EQ(memory.context, 584 * kMebibyte);
    EXPECT_EQ(memory.communicator, 100 * kMebibyte);
    EXPECT_EQ(memory.device_total, 80 * 1024 * kMebibyte);
    EXPECT_TRUE(memory.fits);
    EXPECT_EQ(memory.driver->predicted_context, predicted);
    analysis::MemoryReport small = simulated().memory;
    analysis::use_driver(small, *on_a_gpu().memory.driver, 600 * kMebibyte);
    EXPECT_FALSE(small.fits) << "context and communicators alone are more";
}

TEST(DeviceReport, JsonKeepsItAll) {
    const std::string text = render_json(on_a_gpu());
    const auto root = nlohmann::json::parse(text);
    EXPECT_EQ(root.at("memory").at("driver").at("pools_bytes"), 1300 * kMebibyte);
    EXPECT_EQ(root.at("memory").at("driver").at("growth_bytes"), 0);
    EXPECT_EQ(root.at("transport").at("asked"), "auto");
    EXPECT_EQ(root.at("transport").at("used").at(1).at("via"), "NET/IB/GDRDMA");
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    EXPECT_FALSE(nlohmann::json::parse(render_json(simulated())).at("memory").contains("driver"));
}

TEST(DeviceReport, TheTableNamesEveryPartAndALeak) {
    analysis::RunReport report = on_a_gpu();
    EXPECT_THAT(render_table(report), HasSubstr("driver (MiB): 2000.0 used at the end: 500.0 context, 1300.0 pools, 100.0 communicators, 64.00 libraries, 20.00 other, "
                                                         "16.00 of other processes before"));
    EXPECT_THAT(render_table(report), HasSubstr("transport auto: nvlink (NVLS, 8 ranks), network (NET/IB/GDRDMA, 1 rank)"));
    EXPECT_THAT(render_table(report), Not(HasSubstr("GREW")));
    report.memory.driver->growth = 3 * kMebibyte;
    EXPECT_THAT(render_table(report), HasSubstr("IT GREW by 3.00 after the second step"));
}

TEST(DeviceReport, TheStateOfTheLinksIsKeptAndSaidOnceWhereItIsAnother) {
    analysis::RunReport report = simulated();
    EXPECT_FALSE(nlohmann::json::parse(render_json(report)).contains("links"));
    report.links = analysis::LinksReport{65536, 14e-6, 15e-6, 27e-6};
    const std::string text = render_json(report), line = analysis::links_line(report);
    EXPECT_EQ(nlohmann::json::parse(text).at("links"),
              nlohmann::json::parse(R"({"reference_bytes": 65536, "reference_seconds": [14e-6, 15e-6], "calibrated_reference_seconds": 27e-6})"));
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    ASSERT_FALSE(line.empty());
    EXPECT_THAT(render_table(report), HasSubstr("  " + line + "\n")) << "below the collectives";
    report.prediction.emplace().gap.push_back({"gemm", 1e-3, 2e-3});
    const std::string table = render_table(report);
    EXPECT_GT(table.find(line), table.find("PREDICTED beside MEASURED"));
    EXPECT_EQ(table.find(line), table.rfind(line));
    report.links->calibrated = 0;
    EXPECT_FALSE(nlohmann::json::parse(render_json(report)).at("links").contains("calibrated_reference_seconds"));
    EXPECT_EQ(render_json(parse_json(render_json(report), "test")), render_json(report));
    EXPECT_THAT(render_table(report), Not(HasSubstr("links:")));
}

TEST(DeviceReport, CompareSetsContextAndCommunicatorsSideBySide) {
    const std::vector<analysis::RunReport> reports{simulated(), on_a_gpu()};
    const auto rows = analysis::compare(reports);
    const auto row = [&](std::string_view name) {
        for (const auto& value : rows)
            if (value.section == "memory of the device" && value.name == name) return value.values;
        return std::vector<double>{};
    };
    EXPECT_EQ(row("context"), (std::vector<double>{static_cast<double>(reports[0].memory.context), 584.0 * kMebibyte}));
    EXPECT_EQ(row("communicators"), (std::vector<double>{static_cast<double>(reports[0].memory.communicator), 100.0 * kMebibyte}));
}

}  // namespace
}  // namespace zerosim::report
