#include "kernel/kernel.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace zerosim::kernel {
namespace {

std::vector<Kernel> all_kernels() {
    std::vector<Kernel> result;
    for (int i = 0; i < static_cast<int>(Kernel::count_); ++i) result.push_back(static_cast<Kernel>(i));
    return result;
}

/// The comment of each enumerator in kernel.hpp, continuation lines included, with its name.
std::vector<std::pair<std::string, std::string>> documented() {
    std::ifstream file(ZEROSIM_SOURCE_DIR "/src/kernel/kernel.hpp");
    std::vector<std::pair<std::string, std::string>> result;
    const std::regex enumerator(R"(^    (\w+),\s+// (.*)$)"), continuation(R"(^\s+//\s+(.*)$)");
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        std::smatch match;
        if (line.starts_with("enum class Kernel ")) inside = true;
        else if (inside && line.starts_with("};")) break;
        else if (inside && std::regex_match(line, match, enumerator)) result.emplace_back(match[1], match[2]);
        else if (inside && std::regex_match(line, match, continuation)) result.back().second += " " + match[1].str();
    }
    return result;
}

TEST(Vocabulary, NamesAreTheEnumeratorsInOrder) {
    const auto comments = documented();
    ASSERT_EQ(comments.size(), all_kernels().size());
    for (Kernel kernel : all_kernels()) EXPECT_EQ(name(kernel), comments[static_cast<std::size_t>(kernel)].first);
}

TEST(Vocabulary, OperandsAreThoseOfTheCommentsInOrder) {
    const auto comments = documented();
    for (Kernel kernel : all_kernels()) {
        const std::string& comment = comments.at(static_cast<std::size_t>(kernel)).second;
        std::size_t from = 0;
        for (const OperandSpec& spec : operands(kernel)) {
            const std::regex word((spec.optional ? "opt\\. " : "\\b") + std::string(spec.name) + "\\b");
            std::smatch match;
            const std::string rest = comment.substr(from);
            ASSERT_TRUE(std::regex_search(rest, match, word)) << name(kernel) << ": '" << spec.name << "' is not in '" << rest << "'";
            from += static_cast<std::size_t>(match.position() + match.length());
        }
    }
}

TEST(Vocabulary, OperandNamesAreUniqueAndSomethingIsWritten) {
    for (Kernel kernel : all_kernels()) {
        std::set<std::string_view> names;
        bool writes = false;
        for (std::size_t i = 0; i < operands(kernel).size(); ++i) {
            EXPECT_TRUE(names.insert(operands(kernel)[i].name).second) << name(kernel);
            writes |= !operands(kernel)[i].optional && access(kernel, i, {}) != Access::read;
        }
        EXPECT_TRUE(writes) << name(kernel);
        EXPECT_FALSE(name(kernel_class(kernel)).empty());
    }
}

std::vector<std::string> added(Kernel kernel, const Attributes& attributes) {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < operands(kernel).size(); ++i)
        if (operands(kernel)[i].access == Access::write && access(kernel, i, attributes) == Access::read_write)
            result.emplace_back(operands(kernel)[i].name);
    return result;
}

TEST(Vocabulary, AccumulateFlagsTurnWritesIntoAdditions) {
    using testing::ElementsAre, testing::IsEmpty;
    Attributes first, second;
    first.accumulate = true;
    second.accumulate_second = true;
    EXPECT_THAT(added(Kernel::embedding_backward, first), ElementsAre("d_table"));
    EXPECT_THAT(added(Kernel::embedding_backward, second), ElementsAre("d_positions"));
    EXPECT_THAT(added(Kernel::layer_norm_backward, first), ElementsAre("d_weight", "d_bias"));
    EXPECT_THAT(added(Kernel::layer_norm_backward, second), ElementsAre("d_x"));
    EXPECT_THAT(added(Kernel::rms_norm_backward, first), ElementsAre("d_weight"));
    EXPECT_THAT(added(Kernel::rms_norm_backward, second), ElementsAre("d_x"));
    EXPECT_THAT(added(Kernel::linear_backward_input, first), IsEmpty());
    EXPECT_THAT(added(Kernel::linear_backward_input, second), ElementsAre("d_x"));
    EXPECT_THAT(added(Kernel::linear_backward_weight, first), ElementsAre("d_weight", "d_bias"));
    EXPECT_THAT(added(Kernel::linear_backward_weight, second), IsEmpty());
    EXPECT_THAT(added(Kernel::attention_backward, first), IsEmpty());
}

TEST(Vocabulary, OutOfRangeIsABug) {
    EXPECT_THROW((void)name(Kernel::count_), BugError);
    EXPECT_THROW((void)access(Kernel::add, 3, {}), BugError);
}

}  // namespace
}  // namespace zerosim::kernel
