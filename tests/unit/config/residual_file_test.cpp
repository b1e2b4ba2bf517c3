#include "config/residual_file.hpp"

#include "base/error.hpp"
#include "config/cluster_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace zerosim::config {
namespace {

const SearchPaths kShipped{{std::filesystem::path(ZEROSIM_SOURCE_DIR) / "configs"}};

std::optional<cluster::Residuals> of(const char* name, bool fp8 = false) { return residuals_of(load_cluster(name, kShipped), fp8, kShipped); }

TEST(ResidualFile, TheShippedOneHasEveryClass) {
    for (const char* name : {"a100-sxm-80gb", "h100-sxm", "v100-sxm-32gb", "l40s-pcie", "b200", "mi300x"})
        for (const bool fp8 : {false, true}) {
            const auto residuals = of(name, fp8);
            ASSERT_TRUE(residuals) << name;
            EXPECT_DOUBLE_EQ(residuals->coverage, 0.8);
            for (const cluster::Residual& r : {residuals->compute, residuals->within_node, residuals->network, residuals->host}) {
                EXPECT_LT(r.low, r.median) << name;
                EXPECT_LT(r.median, r.high) << name;
                EXPECT_GT(r.low, -0.5) << name;
            }
        }
}

TEST(ResidualFile, GenerationsWithoutMeasuredStepsAreLessSure) {
    const auto known = of("h100-sxm"), other = of("v100-sxm-32gb");
    EXPECT_GT(other->compute.high - other->compute.low, known->compute.high - known->compute.low);
    EXPECT_NE(of("h100-sxm", true)->compute.high, known->compute.high);
    EXPECT_NE(of("l40s-pcie")->within_node.high, known->within_node.high);   // PCIe, not NVLink
}

TEST(ResidualFile, CpusThatWereNotCalibratedHaveNone) { EXPECT_FALSE(of("local")); }

TEST(ResidualFile, AMissingClassIsNamed) {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / "zerosim-residual-file-test";
    std::filesystem::create_directories(folder);
    const SearchPaths paths{{folder}};
    const cluster::Cluster gpu = load_cluster("h100-sxm", kShipped);
    EXPECT_FALSE(residuals_of(gpu, false, paths));   // no file: no interval
    std::ofstream(folder / "residuals.cfg") << "coverage = 0.8\n[compute-other]\nlow = -0.1\nmedian = 0\nhigh = 0.1\n";
    EXPECT_THAT([&] { (void)residuals_of(gpu, false, paths); }, ::testing::ThrowsMessage<ConfigError>(::testing::HasSubstr("collectives-nvlink.low")));
    std::ofstream(folder / "residuals.cfg") << "coverage = most\n";
    EXPECT_THAT([&] { (void)residuals_of(gpu, false, paths); }, ::testing::ThrowsMessage<ConfigError>(::testing::HasSubstr("residuals.cfg:1")));
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace zerosim::config
