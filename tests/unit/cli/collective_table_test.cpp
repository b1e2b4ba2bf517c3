// The table of `zerosim collectives`: nccl-tests' columns, and what stands beside them when predicted or compared.
#include "cli/collectives/collective_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

CollectiveRow row(bool measured, bool predicted) {
    CollectiveSample sample{CollectiveKind::all_reduce, DType::fp32, 8'000'000, 2'000'000, 100e-6, 90e-6, 120e-6, 0};
    CollectiveRow result{sample, measured, std::nullopt};
    if (predicted) result.predicted = {110e-6, {cost::Algorithm::nvls, cost::Protocol::simple}};
    return result;
}

TEST(CollectiveTable, a_measured_row_has_the_columns_of_nccl_tests) {
    const std::string text = collective_table({row(true, false)}, 8, "here");
    EXPECT_THAT(text, HasSubstr("# zerosim collectives: 8 ranks, here"));
    EXPECT_THAT(text, HasSubstr("100.00    80.00   140.00       0\n")) << "us, then algbw and busbw of 7/4 of it in GB/s, then #wrong";
    EXPECT_THAT(text, Not(HasSubstr("algo")));
}

TEST(CollectiveTable, a_predicted_row_names_algorithm_and_protocol) {
    const std::string text = collective_table({row(false, true)}, 8, "predicted");
    EXPECT_THAT(text, HasSubstr("#wrong      algo   proto\n"));
    EXPECT_THAT(text, HasSubstr("N/A      nvls  simple\n"));
}

TEST(CollectiveTable, a_compared_row_has_the_prediction_and_its_error) {
    const std::string text = collective_table({row(true, true)}, 8, "both");
    EXPECT_THAT(text, HasSubstr("predicted    error\n"));
    EXPECT_THAT(text, HasSubstr("110.00    +10.0\n"));
}

TEST(CollectiveTable, gpus_have_the_place_and_the_librarys_own_call_beside) {
    CollectiveRow both = row(true, false);
    both.in_place = both.sample;
    both.in_place->seconds = 50e-6;
    both.raw_seconds = 99e-6;
    const std::string text = collective_table({both, row(true, false)}, 8, "GPUs");
    EXPECT_THAT(text, HasSubstr("in place"));
    EXPECT_THAT(text, HasSubstr("50.00   160.00   280.00       0       99.00     99.0\n")) << "in place: us, algbw, busbw, #wrong; then NCCL's own and its share";
    EXPECT_THAT(text, HasSubstr("N/A")) << "a row without either";
    EXPECT_THAT(collective_csv({both}, 8), HasSubstr("protocol,in_place_seconds,in_place_wrong,raw_seconds\n"));
    const auto json = nlohmann::json::parse(collective_json({both}, 8, "GPUs"));
    EXPECT_DOUBLE_EQ(json["collectives"][0]["raw_seconds"].get<double>(), 99e-6);
}

TEST(CollectiveTable, machine_formats_are_in_base_units) {
    const std::string csv = collective_csv({row(true, true), row(true, false)}, 8);
    EXPECT_THAT(csv, HasSubstr(",wrong,predicted_seconds,algorithm,protocol\n"));
    EXPECT_THAT(csv, HasSubstr(",0,0.00011,nvls,simple\n"));
    EXPECT_THAT(csv, HasSubstr(",0,,,\n"));
    const auto json = nlohmann::json::parse(collective_json({row(false, true)}, 8, "predicted"));
    EXPECT_EQ(json["collectives"][0]["algorithm"], "nvls");
    EXPECT_DOUBLE_EQ(json["collectives"][0]["predicted_seconds"].get<double>(), 110e-6);
    EXPECT_FALSE(json["collectives"][0].contains("wrong")) << "nothing was measured";
}

} // namespace
} // namespace zerosim::cli
