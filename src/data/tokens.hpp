// TokenSource: the tokens a training step reads: bytes of a file (or of a folder of .md files), or the synthetic chain.
// Called by exec/ for `input` ops: each rank reads only its own sequences.
// Does not know ranks, micro-batches or devices.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace zerosim::data {

class ByteText;

/// What one step reads: `sequences` (the global batch B) sequences of `length` (T) tokens.
struct StepShape {
    std::int64_t sequences = 1;
    std::int64_t length = 1;
};

/// Tokens needed for `steps` steps: steps * B * T + 1 (the last target is one past the last input).
[[nodiscard]] std::int64_t tokens_needed(std::int64_t steps, const StepShape& shape);

class TokenSource {
public:
    /// `source`: "chain", a file, or a folder whose *.md files in order of name are one text.
    /// EnvironmentError when it cannot be read or, for bytes, when the vocabulary is below 256.
    TokenSource(const std::string& source, std::int64_t vocabulary);
    ~TokenSource();
    TokenSource(TokenSource&&) noexcept;
    TokenSource& operator=(TokenSource&&) noexcept;

    /// EnvironmentError with the numbers when the source is too short for `steps` steps. The chain never ends.
    void check_length(std::int64_t steps, const StepShape& shape) const;
    /// Sequences [first, first + count) of step `step` (from 0): sequence j starts at token (step*B + j)*T.
    /// `tokens` and `targets` hold count * T elements; targets are the tokens one further.
    void fill_sequences(std::int64_t step, std::int64_t first, std::int64_t count, const StepShape& shape, std::int32_t* tokens,
                        std::int32_t* targets);
    /// Tokens there are; -1 = without end.
    [[nodiscard]] std::int64_t size() const;
    /// Tokens read so far (each once a call, the shared last target included): a rank's share, for tests and reports.
    [[nodiscard]] std::int64_t tokens_read() const { return tokens_read_; }

private:
    /// t(0) = 1, t(i) = (5 t(i-1) + 7 + hash(i) mod 3) mod V, walked forward from where it was.
    struct Chain {
        std::int64_t position = 0;
        std::int64_t token = 1;
    };
    void read(std::int64_t offset, std::int64_t count, std::int32_t* out);
    void read_chain(std::int64_t offset, std::int64_t count, std::int32_t* out);

    std::string name_;
    std::int64_t vocabulary_;
    std::unique_ptr<ByteText> text_;   // null = chain
    std::vector<unsigned char> bytes_; // of one call
    Chain chain_;
    std::vector<std::int32_t> sequence_; // of one call
    std::int64_t tokens_read_ = 0;
};

} // namespace zerosim::data
