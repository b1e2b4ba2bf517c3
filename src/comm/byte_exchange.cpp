#include "comm/byte_exchange.hpp"

#include <algorithm>

namespace zerosim::comm {

namespace {

// Bytes a rank contributes to one collective: bounds the staging buffer, which is this times the number of ranks.
constexpr std::int64_t kPiece = std::int64_t{1} << 20;

[[nodiscard]] std::vector<std::int64_t> all_lengths(Communicator& communicator, std::size_t mine) {
    const auto length = static_cast<std::int64_t>(mine);
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(communicator.size()));
    communicator.run(
        {.kind = CollectiveKind::all_gather, .dtype = DType::int64, .count = 1, .send = &length, .receive = lengths.data()});
    return lengths;
}

} // namespace

std::vector<std::string> all_gather_bytes(Communicator& communicator, std::string_view mine) {
    const std::vector<std::int64_t> lengths = all_lengths(communicator, mine.size());
    const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    std::vector<std::string> blobs(lengths.size());
    std::string send, receive;
    for (std::int64_t begin = 0; begin < longest; begin += kPiece) {
        const std::int64_t piece = std::min(kPiece, longest - begin); // equal on all ranks: shorter blobs are padded
        send = mine.substr(std::min(static_cast<std::size_t>(begin), mine.size()), static_cast<std::size_t>(piece));
        send.resize(static_cast<std::size_t>(piece));
        receive.resize(static_cast<std::size_t>(piece) * lengths.size());
        communicator.run({.kind = CollectiveKind::all_gather,
                          .dtype = DType::uint8,
                          .count = piece,
                          .send = send.data(),
                          .receive = receive.data()});
        for (std::size_t rank = 0; rank < lengths.size(); ++rank) {
            const std::int64_t length = std::clamp<std::int64_t>(lengths[rank] - begin, 0, piece);
            blobs[rank].append(receive, rank * static_cast<std::size_t>(piece), static_cast<std::size_t>(length));
        }
    }
    return blobs;
}

std::string broadcast_bytes(Communicator& communicator, std::string_view mine, int root) {
    auto length = static_cast<std::int64_t>(mine.size());
    communicator.run({.kind = CollectiveKind::broadcast,
                      .dtype = DType::int64,
                      .count = 1,
                      .root = root,
                      .send = &length,
                      .receive = &length});
    std::string blob = communicator.rank() == root ? std::string(mine) : std::string(static_cast<std::size_t>(length), '\0');
    for (std::int64_t begin = 0; begin < length; begin += kPiece) {
        communicator.run({.kind = CollectiveKind::broadcast,
                          .dtype = DType::uint8,
                          .count = std::min(kPiece, length - begin),
                          .root = root,
                          .send = blob.data() + begin,
                          .receive = blob.data() + begin});
    }
    return blob;
}

} // namespace zerosim::comm
