#include "data/tokens.hpp"

#include "base/error.hpp"
#include "base/rng.hpp"
#include "data/byte_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace zerosim::data {

std::int64_t tokens_needed(std::int64_t steps, const StepShape& shape) { return steps * shape.sequences * shape.length + 1; }

TokenSource::TokenSource(const std::string& source, std::int64_t vocabulary) : name_(source), vocabulary_(vocabulary) {
    check(vocabulary > 0, "a vocabulary has tokens");
    if (source == "chain") return;
    if (vocabulary < 256) {
        throw EnvironmentError(
            fmt::format("train.data '{}': bytes are tokens and need a vocabulary of at least 256, the model has {}; "
                        "use --train.data chain or a model with a larger vocabulary",
                        source, vocabulary));
    }
    text_ = std::make_unique<ByteText>(source);
}

TokenSource::~TokenSource() = default;
TokenSource::TokenSource(TokenSource&&) noexcept = default;
TokenSource& TokenSource::operator=(TokenSource&&) noexcept = default;

std::int64_t TokenSource::size() const { return text_ ? text_->size() : -1; }

void TokenSource::check_length(std::int64_t steps, const StepShape& shape) const {
    if (!text_) return;
    const std::int64_t needed = tokens_needed(steps, shape);
    if (needed <= text_->size()) return;
    const std::int64_t possible = std::max<std::int64_t>(0, (text_->size() - 1) / (shape.sequences * shape.length));
    throw EnvironmentError(
        fmt::format("train.data '{}' is too short: {} steps of {} sequences of {} tokens need {} bytes, it has {}, "
                    "enough for {} steps: fewer train.steps, or a longer text",
                    name_, steps, shape.sequences, shape.length, needed, text_->size(), possible));
}

void TokenSource::fill_sequences(std::int64_t step, std::int64_t first, std::int64_t count, const StepShape& shape,
                                 std::int32_t* tokens, std::int32_t* targets) {
    check(step >= 0 && first >= 0 && first + count <= shape.sequences, "sequences lie inside the step's batch");
    if (count == 0) return;
    // Neighbouring sequences are neighbouring tokens: one read, then inputs and targets are the same text one apart.
    const std::int64_t total = count * shape.length;
    sequence_.resize(static_cast<std::size_t>(total + 1));
    read((step * shape.sequences + first) * shape.length, total + 1, sequence_.data());
    std::copy_n(sequence_.begin(), total, tokens);
    std::copy_n(sequence_.begin() + 1, total, targets);
    tokens_read_ += total + 1;
}

void TokenSource::read(std::int64_t offset, std::int64_t count, std::int32_t* out) {
    if (!text_) return read_chain(offset, count, out);
    bytes_.resize(static_cast<std::size_t>(count));
    text_->read(offset, bytes_);
    std::copy(bytes_.begin(), bytes_.end(), out);
}

void TokenSource::read_chain(std::int64_t offset, std::int64_t count, std::int32_t* out) {
    if (offset < chain_.position) chain_ = Chain{0, 1 % vocabulary_};
    if (chain_.position == 0) chain_.token = 1 % vocabulary_;
    const auto advance = [this] {
        ++chain_.position;
        const auto branch = static_cast<std::int64_t>(hash64(static_cast<std::uint64_t>(chain_.position)) % 3);
        chain_.token = (5 * chain_.token + 7 + branch) % vocabulary_;
    };
    while (chain_.position < offset) advance();
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<std::int32_t>(chain_.token);
        if (i + 1 < count) advance(); // stays on the last token: the next sequence begins with it
    }
}

} // namespace zerosim::data
