#include "kernel/kernel.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
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
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("enum class Kernel "))
            inside = true;
        else if (inside && line.starts_with("};"))
            break;
        const std::size_t comment = line.find("// "), first = line.find_first_not_of(' '), comma = line.find(',');
        if (!inside || comment == std::string::npos) continue;
        if (first == comment)
            result.back().second.append(" ").append(line.substr(comment + 3));
        else
            result.emplace_back(line.substr(first, comma - first), line.substr(comment + 3));
    }
    return result;
}

/// Where the whole word starts at or after `from`; npos when it is not there.
std::size_t find_word(const std::string& text, const std::string& word, std::size_t from) {
    const auto in_word = [&](std::size_t at) {
        return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_');
    };
    for (std::size_t at = text.find(word, from); at != std::string::npos; at = text.find(word, at + 1))
        if (!(at > 0 && in_word(at - 1)) && !in_word(at + word.size())) return at;
    return std::string::npos;
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
            const std::string words = std::string(spec.optional ? "opt. " : "").append(spec.name);
            const std::size_t at = find_word(comment, words, from);
            ASSERT_NE(at, std::string::npos) << name(kernel) << ": '" << words << "' is not in '" << comment.substr(from) << "'";
            from = at + words.size();
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

} // namespace
} // namespace zerosim::kernel
