#include "cli/collectives/nccl_tests_arguments.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace zerosim::cli {
namespace {

struct Word {
    std::string_view letter, name, key; // no key: nothing here
    std::string_view why;
};

constexpr Word kWords[] = {
    {"-b", "--minbytes", "--minimum-bytes", ""},
    {"-e", "--maxbytes", "--maximum-bytes", ""},
    {"-f", "--stepfactor", "--step-factor", ""},
    {"-i", "--stepbytes", "--step-bytes", ""},
    {"-n", "--iters", "--repeats", ""},
    {"-w", "--warmup_iters", "--warm-ups", ""},
    {"-c", "--check", "--check", ""},
    {"-o", "--op", "--op", ""},
    {"-d", "--datatype", "--type", ""},
    {"-r", "--root", "--root", ""},
    {"-T", "--timeout", "--timeout-seconds", ""},
    {"-R", "--local_register", "--register-buffers", ""},
    {"-t", "--nthreads", "", "a rank is a process with one GPU: start as many with mpirun -np"},
    {"-g", "--ngpus", "", "a rank is a process with one GPU: start as many with mpirun -np"},
    {"-p", "--parallel_init", "", "communicators are always set up at the same time"},
    {"-m", "--agg_iters", "", "calls are not aggregated"},
    {"-z", "--blocking", "", "calls are never waited for one by one"},
    {"-y", "--stream_null", "", "collectives have a stream of their own"},
    {"-G", "--cudagraph", "", "calls are not captured in graphs"},
    {"-C", "--report_cputime", "", "times are the device's"},
    {"-a", "--average", "", "the slowest rank counts"},
    {"-N", "--run_cycles", "", "a call of the program is one cycle"},
    {"-J", "--output_file", "", "write the result with --format json --output FILE"},
};

const Word* find(std::string_view word) {
    const auto found = std::ranges::find_if(kWords, [&](const Word& w) { return word == w.letter || word == w.name; });
    return found == std::end(kWords) ? nullptr : &*found;
}

/// Not the next option; -1 is a root to nccl-tests.
bool is_value(const std::string& word) { return !word.starts_with('-') || (word.size() > 1 && word[1] >= '0' && word[1] <= '9'); }

/// nccl-tests' names of types and operations; -c counts, and 0 is no; -R has 1, and 2 for symmetric memory, which the option refuses.
std::string value_of(std::string_view key, const std::string& value) {
    constexpr std::pair<std::string_view, std::string_view> names[] = {{"float", "fp32"}, {"half", "fp16"}, {"bfloat16", "bf16"}, {"double", "fp64"}, {"avg", "average"}};
    if (key == "--type" || key == "--op")
        for (const auto& [theirs, ours] : names)
            if (value == theirs) return std::string(ours);
    const bool number = !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    if ((key == "--check" && number) || (key == "--register-buffers" && (value == "0" || value == "1")))
        return value.find_first_not_of('0') == std::string::npos ? "false" : "true";
    return value;
}

/// What changes nothing may stand there: one thread, one GPU, defaults of nccl-tests.
bool is_default(std::string_view letter, const std::string& value) {
    if (letter == "-t" || letter == "-g" || letter == "-m" || letter == "-N") return value == "1";
    if (letter == "-J") return false;
    if (letter == "-a") return value == "3"; // the slowest; 0 is rank 0's time
    return value == "0" || letter == "-p";
}

} // namespace

std::vector<std::string> from_nccl_tests(const std::vector<std::string>& arguments) {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::size_t equals = arguments[i].find('=');
        const std::string key = arguments[i].substr(0, equals);
        const bool joined = equals != std::string::npos && key.starts_with("--");
        const Word* const word = find(joined ? key : arguments[i]);
        if (word == nullptr) {
            result.push_back(arguments[i]);
            continue;
        }
        const bool has_value = joined || (i + 1 < arguments.size() && is_value(arguments[i + 1]));
        const std::string value = joined ? arguments[i].substr(equals + 1) : has_value ? arguments[++i] : "";
        if (word->key.empty()) {
            if (!is_default(word->letter, value)) throw ConfigError(fmt::format("command line: nccl-tests' {} {} has no meaning here: {}", joined ? key : std::string(word->letter), value, word->why));
            continue;
        }
        std::string& option = result.emplace_back(word->key);
        if (has_value) option.append("=").append(value_of(word->key, value));
    }
    return result;
}

} // namespace zerosim::cli
