#include "report/gz_writer.hpp"

#include "base/error.hpp"

#include <zlib.h>

namespace zerosim::report {

void GzWriter::Close::operator()(gzFile_s* file) const noexcept { gzclose(file); }

GzWriter::GzWriter(const std::filesystem::path& path)
    : path_(path), file_(gzopen(path.c_str(), path.extension() == ".gz" ? "wb6" : "wbT")) {   // T: plain text, no gzip
    if (!file_) throw EnvironmentError("cannot create '" + path.string() + "'");
}

void GzWriter::write(std::string_view text) {
    if (text.empty()) return;
    if (gzwrite(file_.get(), text.data(), static_cast<unsigned>(text.size())) != static_cast<int>(text.size()))
        throw EnvironmentError("cannot write '" + path_.string() + "': is the disk full?");
    bytes_ += static_cast<std::int64_t>(text.size());
}

void GzWriter::close() {
    if (gzclose(file_.release()) != Z_OK) throw EnvironmentError("cannot write '" + path_.string() + "': is the disk full?");
}

}  // namespace zerosim::report
