// The lines, as NCCL 2.20 to 2.30 print them (src/transport/p2p.cc, shm.cc, net.cc, nvls.cc); older ones name PCI addresses in the brackets:
//   host:81:90 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM/read
//   host:81:90 [0] NCCL INFO Channel 00 : 0[0] -> 1[1] via SHM/direct/direct
//   host:81:90 [0] NCCL INFO Channel 00/0 : 0[0] -> 2[0] [send] via NET/IB/3/GDRDMA(PCI)/Shared        NET/IB/3(1): through rank 1's card
//   host:81:90 [0] NCCL INFO NVLS comm 0x55d0 headRank 0 nHeads 8 ...
#include "comm/channel_log.hpp"

#include "base/transport.hpp"
#include "base/units.hpp"

#include <algorithm>
#include <optional>

namespace zerosim::comm {
namespace {

/// Takes what is before `end` from `text`, and `end`.
std::optional<std::string_view> take_until(std::string_view& text, std::string_view end) {
    const auto at = text.find(end);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view part = text.substr(0, at);
    text.remove_prefix(at + end.size());
    return part;
}

std::optional<int> whole(std::string_view text) {
    const auto number = parse_integer(text);
    if (!number || *number < 0 || *number > 1'000'000) return std::nullopt;
    return static_cast<int>(*number);
}

/// "3[1]": a rank and its device.
bool take_rank(std::string_view text, int& rank, int& device) {
    const auto number = take_until(text, "[");
    const auto inside = number ? take_until(text, "]") : std::nullopt;
    if (!inside) return false;
    const auto parsed = whole(*number);
    if (!parsed) return false;
    rank = *parsed;
    device = whole(*inside).value_or(-1);
    if (inside->size() > 3) device = -1; // a PCI address made of digits alone
    return true;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

/// Without the numbers of cards, (PCI), /read, /Shared: those say how a path is used, not which it is.
std::string plain(std::string_view via) {
    const auto parts = split(via, '/');
    std::string text(parts[0]);
    if (parts.size() > 1) text += "/" + std::string(parts[1].substr(0, parts[1].find('(')));
    if (std::ranges::any_of(parts, [](std::string_view part) { return part.starts_with("GDRDMA"); })) text += "/GDRDMA";
    return text;
}

std::optional<ChannelUse> channel_line(std::string_view rest) {
    ChannelUse use;
    auto number = take_until(rest, " : ");
    const auto from = number ? take_until(rest, " -> ") : std::nullopt;
    auto to = from ? take_until(rest, " via ") : std::nullopt;
    if (!to || to->ends_with("[receive]")) return std::nullopt;
    if (to->ends_with("[send]")) to->remove_suffix(6);
    const auto channel = whole(split(*number, '/')[0]);
    if (!channel || !take_rank(*from, use.from, use.from_device) || !take_rank(*to, use.to, use.to_device)) return std::nullopt;
    use.channel = *channel;
    while (!rest.empty() && (rest.back() == '\r' || rest.back() == ' ')) rest.remove_suffix(1);
    use.via = plain(rest);
    return use;
}

std::string path_of(const ChannelUse& use, const std::function<bool(int, int)>& nvlink) {
    const auto named = [](Transport transport) { return std::string(name(transport)); };
    if (use.via.starts_with("SHM")) return named(Transport::host);
    if (use.via.starts_with("NET") || use.via.starts_with("COLLNET")) return named(Transport::network);
    // Several nodes of one NVLink domain; and a way through another GPU, which NCCL goes over NVLink alone.
    if (use.via == "NVLS" || use.via == "P2P/MNNVL" || use.via == "P2P/indirect") return named(Transport::nvlink);
    return named(nvlink(use.from_device, use.to_device) ? Transport::nvlink : Transport::pcie);
}

} // namespace

std::vector<ChannelUse> parse_channel_log(std::string_view log) {
    std::vector<ChannelUse> uses;
    for (std::string_view line : split(log, '\n')) {
        if (!take_until(line, "NCCL INFO ")) continue;
        if (line.starts_with("NVLS comm ")) {
            ChannelUse& use = uses.emplace_back();
            use.via = "NVLS";
        } else if (line.starts_with("Channel ")) {
            line.remove_prefix(8);
            if (const auto use = channel_line(line)) uses.push_back(*use);
        }
    }
    return uses;
}

std::vector<PathUse> paths_used(std::span<const ChannelUse> uses, const std::function<bool(int, int)>& nvlink) {
    std::vector<PathUse> paths;
    for (const ChannelUse& use : uses) {
        const std::string path = path_of(use, nvlink);
        const auto found = std::ranges::find_if(paths, [&](const PathUse& known) { return known.path == path && known.via == use.via; });
        if (found != paths.end()) ++found->channels;
        else paths.push_back({path, use.via, 1});
    }
    std::ranges::stable_sort(paths, std::greater{}, &PathUse::channels);
    return paths;
}

} // namespace zerosim::comm
