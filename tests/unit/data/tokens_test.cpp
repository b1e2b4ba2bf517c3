#include "data/tokens.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace zerosim::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A folder of its own, removed at the end.
class DataFolder : public ::testing::Test {
protected:
    void SetUp() override {
        const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
        folder_ = fs::temp_directory_path() / (std::string("zerosim-data-") + info->name() + std::to_string(::getpid()));
        fs::create_directories(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }
    std::string write(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name, std::ios::binary) << text;
        return (folder_ / name).string();
    }
    fs::path folder_;
};

std::vector<std::int32_t> tokens_of(TokenSource& source, std::int64_t step, std::int64_t first, std::int64_t count,
                                    StepShape shape, std::vector<std::int32_t>* targets_out = nullptr) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count * shape.length)), targets(tokens.size());
    source.fill_sequences(step, first, count, shape, tokens.data(), targets.data());
    if (targets_out != nullptr) *targets_out = targets;
    return tokens;
}

TEST(Chain, BeginsAsTheReferencesDo) {
    for (const char* name : {"gpt-micro", "llama-micro"}) {
        std::ifstream stream(std::string(ZEROSIM_SOURCE_DIR "/tests/truth/training/") + name + ".json");
        const auto reference = nlohmann::json::parse(stream);
        const std::vector<std::int32_t> expected = reference.at("first_tokens");
        TokenSource chain("chain", reference.at("config").at("vocab_size"));
        std::vector<std::int32_t> targets;
        const auto tokens = tokens_of(chain, 0, 0, 1, {8, 15}, &targets);
        EXPECT_EQ(tokens, std::vector<std::int32_t>(expected.begin(), expected.begin() + 15)) << name;
        EXPECT_EQ(targets, std::vector<std::int32_t>(expected.begin() + 1, expected.begin() + 16)) << name;
    }
}

TEST(Chain, ASequenceIsTheSameFromWhereverItIsAsked) {
    const StepShape shape{6, 5};
    TokenSource whole("chain", 97);
    std::vector<std::int32_t> all = tokens_of(whole, 0, 0, 6, shape);
    const auto second = tokens_of(whole, 1, 0, 6, shape);
    all.insert(all.end(), second.begin(), second.end());
    TokenSource jumping("chain", 97);
    for (const std::int64_t sequence : {7, 3, 11, 0, 10}) {
        const auto tokens = tokens_of(jumping, sequence / 6, sequence % 6, 1, shape);
        EXPECT_EQ(tokens, std::vector<std::int32_t>(all.begin() + sequence * 5, all.begin() + sequence * 5 + 5)) << sequence;
    }
}

TEST(Chain, RanksTakeSharesOfOneBatch) {
    const StepShape shape{12, 4};
    TokenSource alone("chain", 128);
    for (std::int64_t step = 0; step < 3; ++step) {
        const auto whole = tokens_of(alone, step, 0, 12, shape);
        std::vector<std::int32_t> shares;
        for (std::int64_t rank = 0; rank < 3; ++rank) {
            for (std::int64_t micro = 0; micro < 2; ++micro) {
                TokenSource mine("chain", 128);
                const auto part = tokens_of(mine, step, rank * 4 + micro * 2, 2, shape);
                shares.insert(shares.end(), part.begin(), part.end());
            }
        }
        EXPECT_EQ(shares, whole) << step;
    }
}

TEST_F(DataFolder, BytesOfAFileAreTokens) {
    TokenSource source(write("text", std::string("ab\xff\0cdef", 8)), 256);
    std::vector<std::int32_t> targets;
    EXPECT_EQ(tokens_of(source, 0, 1, 1, {2, 3}, &targets), (std::vector<std::int32_t>{0, 'c', 'd'}));
    EXPECT_EQ(targets, (std::vector<std::int32_t>{'c', 'd', 'e'}));
    EXPECT_EQ(source.size(), 8);
}

TEST_F(DataFolder, ARankReadsItsShareOnly) {
    TokenSource source(write("text", std::string(1000, 'x')), 256);
    for (std::int64_t step = 0; step < 4; ++step) (void)tokens_of(source, step, 2, 1, {4, 10});
    EXPECT_EQ(source.tokens_read(), 4 * 11); // of 4 * 40
}

TEST_F(DataFolder, MarkdownOfAFolderIsOneTextInOrderOfName) {
    write("b.md", "BB");
    write("a.md", "AAA");
    write("empty.md", "");
    write("z.md", "Z!");
    write("skip.txt", "no");
    TokenSource source(folder_.string(), 256);
    EXPECT_EQ(source.size(), 7);
    EXPECT_EQ(tokens_of(source, 0, 0, 1, {1, 6}), (std::vector<std::int32_t>{'A', 'A', 'A', 'B', 'B', 'Z'}));
}

TEST_F(DataFolder, TooShortSaysTheNumbers) {
    const TokenSource source(write("text", std::string(80, 'x')), 256);
    source.check_length(3, {2, 13});                                 // 79
    EXPECT_THROW(source.check_length(4, {2, 10}), EnvironmentError); // 81
    try {
        source.check_length(5, {2, 10});
        FAIL() << "101 bytes are needed, 80 there";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("101"), HasSubstr("80"), HasSubstr("3 steps")));
    }
}

TEST_F(DataFolder, ASmallVocabularyAndMissingFilesAreRefused) {
    EXPECT_THROW(TokenSource(write("text", "abc"), 255), EnvironmentError);
    EXPECT_THROW(TokenSource((folder_ / "missing").string(), 256), EnvironmentError);
    EXPECT_THROW(TokenSource(folder_.string(), 256), EnvironmentError); // no *.md
}

} // namespace
} // namespace zerosim::data
