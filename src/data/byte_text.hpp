// ByteText: one file, or the *.md files of a folder in order of name, read as one run of bytes.
// Used by TokenSource; reads exactly the bytes asked for.
// Does not cache and does not know tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zerosim::data {

class ByteText {
public:
    /// EnvironmentError when `path` is neither a readable file nor a folder with *.md files.
    explicit ByteText(const std::string& path);
    [[nodiscard]] std::int64_t size() const { return size_; }
    /// Bytes [offset, offset + out.size()); EnvironmentError when they are not there (any more).
    void read(std::int64_t offset, std::span<unsigned char> out) const;

private:
    /// An open file descriptor, closed at the end.
    class Descriptor {
    public:
        explicit Descriptor(const std::string& path);
        ~Descriptor();
        Descriptor(Descriptor&& other) noexcept;
        Descriptor& operator=(Descriptor&&) = delete;
        [[nodiscard]] int get() const { return value_; }

    private:
        int value_ = -1;
    };
    struct Part {
        std::string path;
        Descriptor file;
        std::int64_t begin = 0, end = 0;
    };
    void add(const std::string& path);

    std::vector<Part> parts_;
    std::int64_t size_ = 0;
};

} // namespace zerosim::data
