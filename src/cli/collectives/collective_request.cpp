#include "cli/collectives/collective_request.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <span>

namespace zerosim::cli {
namespace {

/// The words between commas. "" has none.
std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words;
    for (std::string_view rest = text; !rest.empty();) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        words.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return words;
}

/// Of a list in any order: in the order of the enumeration, each once.
std::vector<CollectiveKind> kinds_of(const config::Values& values) {
    std::vector<std::string> names{"all"};
    for (const CollectiveKind kind : kCollectiveKinds) names.emplace_back(name(kind));
    const std::vector<std::string> asked = words_of(values.text("kind"));
    for (const std::string& word : asked)
        if (std::ranges::find(names, word) == names.end())
            values.refuse("kind", fmt::format("names '{}', which is no collective; there are {}{}", word, fmt::join(std::span(names).subspan(1), ", "),
                                              did_you_mean(word, names)));
    if (asked.empty()) values.refuse("kind", "names no collective");
    const auto is_asked = [&](std::string_view word) { return std::ranges::find(asked, word) != asked.end(); };
    std::vector<CollectiveKind> kinds;
    std::ranges::copy_if(kCollectiveKinds, std::back_inserter(kinds), [&](CollectiveKind kind) { return is_asked("all") || is_asked(name(kind)); });
    return kinds;
}

DType type_of(const config::Values& values) {
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::fp64, DType::int32, DType::int64, DType::uint8})
        if (values.text("type") == name(type)) return type;
    values.refuse("type", "is not a type");
}

/// `sizes`, or from minimum-bytes to maximum-bytes by step-factor or step-bytes.
std::vector<std::int64_t> sizes_of(const config::Values& values) {
    if (values.given("sizes"))
        for (const char* other : {"minimum-bytes", "maximum-bytes", "step-factor", "step-bytes"})
            if (values.given(other)) values.refuse(other, "and --sizes exclude each other: a list, or a range");
    if (values.given("step-bytes") && values.given("step-factor")) values.refuse("step-bytes", "and --step-factor exclude each other");
    std::vector<std::int64_t> sizes;
    for (const std::string& word : words_of(values.text("sizes"))) {
        const auto bytes = parse_bytes(word);
        if (!bytes || *bytes < 1) values.refuse("sizes", "is not a list of sizes such as 8,64K,1M");
        sizes.push_back(*bytes);
    }
    if (!sizes.empty()) return sizes;
    const std::int64_t minimum = values.bytes("minimum-bytes"), maximum = values.bytes("maximum-bytes");
    const std::int64_t step = values.given("step-bytes") ? values.bytes("step-bytes") : 0;
    if (minimum < 1) values.refuse("minimum-bytes", "is not above 0");
    if (maximum < minimum) values.refuse("maximum-bytes", "is less than minimum-bytes");
    if (values.given("step-bytes") && step < 1) values.refuse("step-bytes", "is not above 0");
    const std::int64_t factor = values.integer("step-factor");
    constexpr std::int64_t kMost = 10'000; // rows that nobody reads: -i 1, where 1M was meant
    if (step > 0 && (maximum - minimum) / step >= kMost)
        values.refuse("step-bytes", fmt::format("makes {} sizes, more than {}", (maximum - minimum) / step + 1, kMost));
    sizes.push_back(minimum);
    while (step > 0 ? sizes.back() <= maximum - step : sizes.back() <= maximum / factor)
        sizes.push_back(step > 0 ? sizes.back() + step : sizes.back() * factor);
    return sizes;
}

CollectiveOptions options_of(const config::Values& values) {
    CollectiveOptions options;
    options.root = static_cast<int>(values.integer("root"));
    options.reduction = values.text("op") == "average" ? Reduction::average : Reduction::sum;
    if (values.given("warm-ups")) options.warm_ups = static_cast<int>(values.integer("warm-ups"));
    options.check = values.boolean("check");
    return options;
}

std::vector<CollectiveCase> cases_of(const config::Values& values) {
    const DType type = type_of(values);
    const std::vector<CollectiveKind> kinds = kinds_of(values);
    const bool whole_numbers = type == DType::int32 || type == DType::int64 || type == DType::uint8;
    if (whole_numbers && values.text("op") == "average" && std::ranges::any_of(kinds, is_reduction))
        values.refuse("op", fmt::format("is of floats, and --type is {}", name(type)));
    std::vector<CollectiveCase> cases;
    for (const CollectiveKind kind : kinds)
        for (const std::int64_t bytes : sizes_of(values)) {
            CollectiveCase& one = cases.emplace_back(CollectiveCase{kind, type, bytes, static_cast<int>(values.integer("repeats"))});
            one.options = options_of(values);
        }
    return cases;
}

void read_gpus(const config::Values& values, CollectiveRequest& request) {
    request.on_gpus = values.text("device") == "cuda";
    request.share_device = values.boolean("share-device");
    request.register_buffers = values.boolean("register-buffers");
    if (request.register_buffers && !request.on_gpus) values.refuse("register-buffers", "is for GPUs: add --device cuda");
    request.transport = *transport_of(values.text("transport"));
    if (request.transport != Transport::automatic && !request.on_gpus && !request.predict)
        values.refuse("transport", "forces the path between GPUs: add --device cuda, or --predict");
    if (request.share_device && request.transport != Transport::automatic && request.transport != Transport::network)
        values.refuse("transport", "contradicts share-device: ranks that share a GPU reach each other over the network alone");
    if (request.share_device && !request.on_gpus) values.refuse("share-device", "is for GPUs: add --device cuda");
}

} // namespace

CollectiveRequest collective_request(const config::Values& values) {
    CollectiveRequest request;
    request.cases = cases_of(values);
    if (values.given("ranks")) request.ranks = values.integer("ranks");
    request.stride = values.integer("stride");
    request.predict = values.boolean("predict");
    request.compare = values.boolean("compare");
    if (request.predict && request.compare) values.refuse("compare", "measures; leave out --predict");
    if (!request.predict && request.stride != 1) values.refuse("stride", "is of predicted groups: add --predict");
    request.timeout_seconds = values.real("timeout-seconds");
    read_gpus(values, request);
    return request;
}

void require_root(const config::Values& values, std::int64_t ranks) {
    if (values.integer("root") >= ranks) values.refuse("root", fmt::format("is not one of {} ranks: 0 to {}", ranks, ranks - 1));
}

void require_room(const CollectiveRequest& request, std::int64_t ranks, std::int64_t ranks_here, bool by_mpi, std::int64_t available) {
    for (const CollectiveCase& one : request.cases) {
        const CollectiveExercise exercise(one.kind, one.type, one.bytes, 0, static_cast<int>(ranks));
        if (by_mpi && std::max(exercise.sent, exercise.received) > INT_MAX - ranks) // MpiCommunicator's check_size
            throw ConfigError(fmt::format("{} of {}: MPI counts at most {} elements of a message", name(one.kind), format_bytes(static_cast<double>(one.bytes)), INT_MAX));
        const std::int64_t sent = exercise.sent_bytes(), scratch = comm::scratch_bytes(one.kind, exercise.count, one.type, ranks);
        const std::int64_t buffers = sent + exercise.received_bytes() + scratch;
        const std::int64_t each = one.options.check ? sent + buffers : std::max(2 * sent, buffers); // contents are made before they are copied, and again for the check
        if (available > 0 && each > available / ranks_here)
            throw EnvironmentError(fmt::format("not enough host memory: for {} of {} each of {} ranks on this node needs {}, and {} are available together", name(one.kind),
                                               format_bytes(static_cast<double>(one.bytes)), ranks_here, format_bytes(static_cast<double>(each)),
                                               format_bytes(static_cast<double>(available))));
    }
}

} // namespace zerosim::cli
