// What `zerosim collectives` understands: its own options and nccl-tests' command lines, and what it says to mistakes.
#include "cli/collectives/collective_request.hpp"

#include "base/error.hpp"
#include "cli/collectives/nccl_tests_arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

config::Values values_of(const std::vector<std::string>& arguments) { return config::read_values({config::Command::collectives, from_nccl_tests(arguments), {}}).values; }
CollectiveRequest request_of(const std::vector<std::string>& arguments) { return collective_request(values_of(arguments)); }

std::string error_of(const std::vector<std::string>& arguments) {
    try {
        (void)request_of(arguments);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no error";
}

TEST(NcclTestsArguments, a_command_line_of_nccl_tests_is_read_as_it_was_meant) {
    const CollectiveRequest request = request_of({"-b", "1K", "-e", "16K", "-f", "4", "-g", "1", "-n", "50", "-w", "7", "-c", "0", "-o", "avg", "-d", "bfloat16", "-r", "2", "-T", "9", "--kind", "reduce"});
    ASSERT_EQ(request.cases.size(), 3u);
    const CollectiveCase& last = request.cases.back();
    EXPECT_EQ(last.bytes, 16 << 10);
    EXPECT_EQ(last.type, DType::bf16);
    EXPECT_EQ(last.repeats, 50);
    EXPECT_EQ(last.options.warm_ups, 7);
    EXPECT_EQ(last.options.root, 2);
    EXPECT_EQ(last.options.reduction, Reduction::average);
    EXPECT_FALSE(last.options.check);
    EXPECT_DOUBLE_EQ(request.timeout_seconds, 9);
}

TEST(NcclTestsArguments, long_names_and_switches_too) {
    EXPECT_THAT(from_nccl_tests({"--minbytes=8", "--maxbytes", "1G", "--datatype=half", "--check", "1", "-R", "1", "--predict"}),
                ElementsAre("--minimum-bytes=8", "--maximum-bytes=1G", "--type=fp16", "--check=true", "--register-buffers=true", "--predict"));
    EXPECT_THAT(from_nccl_tests({"--check", "--kind", "-x"}), ElementsAre("--check", "--kind", "-x")) << "the next option is no value";
}

TEST(NcclTestsArguments, what_has_no_meaning_is_refused_unless_it_changes_nothing) {
    EXPECT_THAT(from_nccl_tests({"-t", "1", "-g", "1", "-z", "0", "-G", "0", "-m", "1", "-p", "1"}), testing::IsEmpty());
    EXPECT_THAT(error_of({"-g", "8"}), AllOf(HasSubstr("-g 8"), HasSubstr("mpirun")));
    EXPECT_THAT(error_of({"-G", "4"}), HasSubstr("graphs"));
    EXPECT_THAT(error_of({"-o", "max"}), AllOf(HasSubstr("op 'max'"), HasSubstr("sum")));
    EXPECT_NE(error_of({"-r", "-1"}), "no error");
    EXPECT_THAT(from_nccl_tests({"-a", "3"}), testing::IsEmpty());
    EXPECT_THAT(error_of({"-a", "0"}), HasSubstr("slowest")) << "rank 0's time";
    EXPECT_THAT(error_of({"-R", "2", "--device", "cuda"}), HasSubstr("register-buffers '2'")) << "symmetric memory";
}

TEST(CollectiveRequest, kinds_are_a_list_in_a_fixed_order) {
    const auto kinds = [](const std::string& text) {
        std::vector<CollectiveKind> result;
        for (const CollectiveCase& one : request_of({"--kind", text, "--sizes", "8"}).cases) result.push_back(one.kind);
        return result;
    };
    EXPECT_THAT(kinds("send-recv,all-gather,send-recv"), ElementsAre(CollectiveKind::all_gather, CollectiveKind::send_recv));
    EXPECT_THAT(kinds("all"), testing::ElementsAreArray(kCollectiveKinds));
    std::vector<CollectiveKind> unasked;
    for (const CollectiveCase& one : request_of({"--sizes", "8"}).cases) unasked.push_back(one.kind);
    EXPECT_THAT(unasked, testing::ElementsAreArray(kCollectiveKinds, 5)) << "those of training steps";
}

TEST(CollectiveRequest, an_unknown_kind_names_the_nearest_and_all) {
    EXPECT_THAT(error_of({"--kind", "sendrecv"}), AllOf(HasSubstr("'sendrecv'"), HasSubstr("did you mean 'send-recv'"), HasSubstr("all-to-all")));
    EXPECT_THAT(error_of({"--kind", "all-reduce,alltoall"}), HasSubstr("did you mean 'all-to-all'"));
    EXPECT_THAT(error_of({"--kind", "reduce_scatter"}), HasSubstr("did you mean 'reduce-scatter'"));
    EXPECT_THAT(error_of({"--kind", ","}), HasSubstr("no collective"));
    EXPECT_THAT(error_of({"--kind", "hypercube"}), HasSubstr("there are all-reduce, all-gather"));
}

TEST(CollectiveRequest, sizes_grow_by_a_factor_or_by_bytes) {
    const auto sizes = [](std::vector<std::string> arguments) {
        arguments.insert(arguments.end(), {"--kind", "reduce"});
        std::vector<std::int64_t> result;
        for (const CollectiveCase& one : request_of(arguments).cases) result.push_back(one.bytes);
        return result;
    };
    EXPECT_THAT(sizes({"-b", "8", "-e", "100", "-f", "3"}), ElementsAre(8, 24, 72));
    EXPECT_THAT(sizes({"-b", "8", "-e", "30", "-i", "10"}), ElementsAre(8, 18, 28));
    EXPECT_THAT(error_of({"-i", "10", "-f", "2"}), HasSubstr("exclude each other"));
    EXPECT_THAT(error_of({"-i", "0"}), HasSubstr("not above 0"));
    EXPECT_THAT(error_of({"-i", "1", "-e", "64M"}), HasSubstr("sizes"));
    EXPECT_THAT(sizes({"-b", "1", "-e", "4000000T", "-f", "1024"}), testing::SizeIs(7)) << "1024^7 would be 2^70";
    EXPECT_THAT(error_of({"--sizes", "8", "-i", "10"}), HasSubstr("exclude each other"));
}

TEST(CollectiveRequest, roots_and_averages_have_their_limits) {
    EXPECT_NO_THROW(require_root(values_of({"--root", "3"}), 4));
    EXPECT_THROW(require_root(values_of({"--root", "4"}), 4), ConfigError);
    EXPECT_THAT(error_of({"--op", "average", "--type", "int32"}), HasSubstr("of floats"));
    EXPECT_EQ(error_of({"--op", "average", "--type", "int32", "--kind", "all-gather"}), "no error");
}

TEST(CollectiveRequest, what_does_not_fit_is_refused_before_it_is_allocated) {
    const CollectiveRequest request = request_of({"--sizes", "1G", "--kind", "broadcast"});
    EXPECT_NO_THROW(require_room(request, 2, 2, true, std::int64_t{6} << 30)); // of each what it sends, receives, and sends in the check
    EXPECT_THROW(require_room(request, 2, 2, true, std::int64_t{5} << 30), EnvironmentError);
    EXPECT_NO_THROW(require_room(request, 2, 1, true, std::int64_t{5} << 30));
    EXPECT_NO_THROW(require_room(request_of({"--sizes", "1G", "--kind", "broadcast", "-c", "0"}), 2, 2, true, std::int64_t{4} << 30));
    EXPECT_NO_THROW(require_room(request, 2, 2, true, 0)) << "unknown";
    const CollectiveRequest large = request_of({"--sizes", "8G", "--kind", "broadcast"});
    EXPECT_THROW(require_room(large, 2, 2, true, 0), ConfigError);
    EXPECT_NO_THROW(require_room(large, 2, 2, false, 0)) << "threads count in 64 bits";
}

} // namespace
} // namespace zerosim::cli
