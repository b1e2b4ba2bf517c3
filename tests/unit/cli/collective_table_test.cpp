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
    CollectiveSample sample;
    sample.kind = CollectiveKind::all_reduce, sample.bytes = 8'000'000, sample.count = 2'000'000, sample.seconds = 100e-6, sample.low_seconds = 90e-6, sample.high_seconds = 120e-6;
    CollectiveRow result{sample, measured, std::nullopt};
    if (predicted) result.predicted = {110e-6, {cost::Algorithm::nvls, cost::Protocol::simple}};
    return result;
}

TEST(CollectiveTable, a_measured_row_has_the_columns_of_nccl_tests) {
    const std::string text = collective_table({row(true, false)}, 8, "here");
    EXPECT_THAT(text, HasSubstr("# zerosim collectives: 8 ranks, here"));
    EXPECT_THAT(text, HasSubstr(" fp32    sum    -1     100.00   80.00  140.00      0\n")) << "type, redop, root; us, algbw and busbw of 7/4 of it in GB/s, #wrong";
    EXPECT_THAT(text, HasSubstr("# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 140\n")) << "nccl-tests' last lines";
    EXPECT_THAT(text, Not(HasSubstr("algo")));
}

TEST(CollectiveTable, a_predicted_row_names_algorithm_and_protocol) {
    const std::string text = collective_table({row(false, true)}, 8, "predicted");
    EXPECT_THAT(text, HasSubstr("#wrong         algo   proto\n"));
    EXPECT_THAT(text, HasSubstr("N/A         nvls  simple\n"));
    EXPECT_THAT(text, Not(HasSubstr("Out of bounds"))) << "nothing was looked at";
}

TEST(CollectiveTable, a_compared_row_has_the_prediction_and_its_error) {
    const std::string text = collective_table({row(true, true)}, 8, "both");
    EXPECT_THAT(text, HasSubstr("predicted   error\n"));
    EXPECT_THAT(text, HasSubstr("110.00   +10.0\n"));
}

TEST(CollectiveTable, gpus_have_the_place_and_the_librarys_own_call_beside) {
    CollectiveRow both = row(true, false);
    both.in_place = both.sample;
    both.in_place->seconds = 50e-6;
    both.raw_seconds = 99e-6;
    const std::string text = collective_table({both, row(true, false)}, 8, "GPUs");
    EXPECT_THAT(text, HasSubstr("in-place"));
    EXPECT_THAT(text, HasSubstr("50.00  160.00  280.00      0      99.00    99.0\n")) << "in place: us, algbw, busbw, #wrong; then NCCL's own and its share";
    EXPECT_THAT(text, HasSubstr("N/A")) << "a row without either";
    EXPECT_THAT(collective_csv({both}, 8), HasSubstr("protocol,in_place_seconds,in_place_wrong,raw_seconds\n"));
    const auto json = nlohmann::json::parse(collective_json({both}, 8, "GPUs"));
    EXPECT_DOUBLE_EQ(json["collectives"][0]["raw_seconds"].get<double>(), 99e-6);
}

// Whatever stands beside: every line of a kind ends where its heading does.
TEST(CollectiveTable, columns_line_up) {
    CollectiveRow both = row(true, true), other = row(true, true);
    both.in_place = both.sample;
    both.raw_seconds = 99e-6;
    other.sample.seconds = 123456.789e-6;
    for (const std::vector<CollectiveRow>& rows : {std::vector{row(true, false)}, std::vector{row(false, true)}, std::vector{both, other}}) {
        const std::string text = collective_table(rows, 8, "here");
        std::vector<std::size_t> widths;
        for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
            const std::string line = text.substr(begin, end - begin);
            if (line.find("size") != std::string::npos || line.find("2000000") != std::string::npos) widths.push_back(line.size());
        }
        ASSERT_EQ(widths.size(), rows.size() + 1) << text;
        for (const std::size_t width : widths) EXPECT_EQ(width, widths.front()) << text;
    }
}

TEST(CollectiveTable, roots_operations_and_averages_are_as_in_nccl_tests) {
    CollectiveRow reduce = row(true, false), unchecked = row(true, false);
    reduce.sample.kind = unchecked.sample.kind = CollectiveKind::reduce;
    reduce.root = 3, reduce.reduction = Reduction::average;
    reduce.in_place = reduce.sample;
    reduce.in_place->seconds = 200e-6;
    reduce.in_place->wrong = 7;
    unchecked.sample.checked = false;
    const std::string text = collective_table({row(true, false), reduce, unchecked}, 8, "here");
    EXPECT_THAT(text, HasSubstr(" fp32    avg     3 "));
    EXPECT_THAT(text, HasSubstr("# Out of bounds values : 7 FAILED\n# Avg bus bandwidth    : 66.6667\n")) << "(80 + 40 + 80) / 3";
    EXPECT_THAT(text, HasSubstr("80.00    N/A")) << "not looked at";
    const auto json = nlohmann::json::parse(collective_json({row(true, false), reduce}, 8, "here"));
    EXPECT_EQ(json["collectives"][1]["root"], 3);
    EXPECT_FALSE(json["collectives"][0].contains("root"));
    EXPECT_DOUBLE_EQ(json["average_busbw_bytes_per_second"]["reduce"].get<double>(), 60e9);
    EXPECT_DOUBLE_EQ(json["average_busbw_bytes_per_second"]["all-reduce"].get<double>(), 140e9);
    EXPECT_THAT(collective_csv({reduce}, 8), testing::AllOf(HasSubstr("redop,root,seconds"), HasSubstr(",avg,3,0.0001,")));
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
