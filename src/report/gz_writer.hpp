// A text file written piece by piece, gzipped when its name ends in .gz.
// Used by the Perfetto writer.
// Does not buffer beyond zlib's own buffer and does not overwrite silently on error: it throws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

struct gzFile_s;

namespace zerosim::report {

class GzWriter {
public:
    explicit GzWriter(const std::filesystem::path& path);
    /// Throws EnvironmentError, naming the file.
    void write(std::string_view text);
    /// Flushes and closes; a writer destroyed without it closes without saying whether that worked.
    void close();
    [[nodiscard]] std::int64_t bytes() const { return bytes_; }

private:
    struct Close {
        void operator()(gzFile_s* file) const noexcept;
    };
    std::filesystem::path path_;
    std::unique_ptr<gzFile_s, Close> file_;
    std::int64_t bytes_ = 0;
};

}  // namespace zerosim::report
