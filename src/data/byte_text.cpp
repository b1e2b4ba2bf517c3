#include "data/byte_text.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace zerosim::data {

ByteText::Descriptor::Descriptor(const std::string& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (value_ < 0) throw EnvironmentError(fmt::format("train.data '{}': {}", path, std::strerror(errno)));
}
ByteText::Descriptor::~Descriptor() {
    if (value_ >= 0) ::close(value_);
}
ByteText::Descriptor::Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}

ByteText::ByteText(const std::string& path) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
        add(path);
        return;
    }
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
        if (entry.path().extension() == ".md") files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) add(file);
    if (files.empty())
        throw EnvironmentError(fmt::format("train.data '{}': a folder must hold *.md files, this one has none", path));
}

void ByteText::add(const std::string& path) {
    Part part{path, Descriptor(path), size_, size_};
    struct stat status {};
    if (::fstat(part.file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        throw EnvironmentError(fmt::format("train.data '{}': not a regular file", path));
    }
    part.end = size_ += status.st_size;
    parts_.push_back(std::move(part));
}

void ByteText::read(std::int64_t offset, std::span<unsigned char> out) const {
    auto part = std::upper_bound(parts_.begin(), parts_.end(), offset, [](std::int64_t at, const Part& p) { return at < p.end; });
    while (!out.empty()) {
        if (part == parts_.end()) throw EnvironmentError("train.data: read beyond the end of the text");
        const std::size_t wanted = std::min(out.size(), static_cast<std::size_t>(part->end - offset));
        const ssize_t got = wanted == 0 ? 0 : ::pread(part->file.get(), out.data(), wanted, offset - part->begin);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw EnvironmentError(fmt::format("train.data '{}': {}", part->path, std::strerror(errno)));
        if (got == 0 && wanted > 0)
            throw EnvironmentError(fmt::format("train.data '{}' became shorter while it was read", part->path));
        out = out.subspan(static_cast<std::size_t>(got));
        offset += got;
        if (offset >= part->end) ++part;
    }
}

} // namespace zerosim::data
