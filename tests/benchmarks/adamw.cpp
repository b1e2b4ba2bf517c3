// Host AdamW beside memcpy, interleaved in one run, on the same threads and the same memory, medians.
// usage: benchmark_adamw [threads = 2] [million parameters = 32] [repeats = 15]
// fp32 AdamW reads p, m, v, g and writes p, m, v: 28 bytes a parameter. Two memcpys stand beside it: one that *moves* as many
// bytes (reads 14 and writes 14 a parameter; the goal is 80 % of its rate) and one that *copies* as many (reads 28 and writes
// 28).
#include "device/host_device.hpp"
#include "device/workers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

namespace {

using namespace zerosim;
using namespace zerosim::device;

constexpr std::int64_t kBytesPerParameter = 28;

template <class Body>
double seconds_of(const Body& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

struct State {
    HostDevice& device;
    std::int64_t count;
    float factor = 1, skip = 0, step = 1;
    TensorView parameter = shard(), m = shard(), v = shard(), gradient = shard();

    TensorView shard() const {
        TensorView view{device.allocate(PoolId(0), count * 4, -1), 1, count, count, DType::fp32};
        device.fill(view, 1e-3);
        return view;
    }
    static TensorView scalar(float& value) { return {&value, 1, 1, 1, DType::fp32}; }

    void update() {
        kernel::Attributes attributes;
        attributes.tokens = count;
        attributes.learning_rate = 1e-3f, attributes.beta1 = 0.9f, attributes.beta2 = 0.95f, attributes.epsilon = 1e-8f;
        attributes.weight_decay = 0.1f;
        const std::vector<TensorView> operands{parameter, {}, m, v, gradient, scalar(factor), scalar(skip), scalar(step)};
        const RangeSegment all{0, count, true};
        device.launch({kernel::Kernel::adamw, attributes, operands, {&all, 1}, {}});
    }
};

void copy_in_parts(Workers& workers, std::byte* to, const std::byte* from, std::int64_t bytes) {
    parallel_for(&workers, bytes, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
    });
}

} // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
    const std::int64_t count = (argc > 2 ? std::atoll(argv[2]) : 32) * 1'000'000;
    const int repeats = argc > 3 ? std::atoi(argv[3]) : 15;
    const std::int64_t bytes = count * kBytesPerParameter;

    HostDevice device(
        {.threads = threads, .policy = MemoryPolicy::caching, .pools = {"benchmark"}, .arena_bytes = {}, .poison = {}});
    State state{device, count};
    Workers workers(threads);
    std::byte* from = device.allocate(PoolId(0), bytes, -1);
    std::byte* to = device.allocate(PoolId(0), bytes, -1);
    std::memset(from, 1, static_cast<std::size_t>(bytes));

    std::vector<double> adamw, moves, copies;
    for (int i = -1; i < repeats; ++i) { // the first round touches the memory and is not counted
        const double update = seconds_of([&] { state.update(); });
        const double move = seconds_of([&] { copy_in_parts(workers, to, from, bytes / 2); });
        const double copy = seconds_of([&] { copy_in_parts(workers, to, from, bytes); });
        if (i < 0) continue;
        adamw.push_back(update), moves.push_back(move), copies.push_back(copy);
    }
    const auto rate = [&](double seconds) { return static_cast<double>(bytes) / seconds * 1e-9; };
    fmt::print("{} parameters, {:.0f} MiB of state, {} threads, median of {}\n", count,
               static_cast<double>(count) * 16 / (1 << 20), threads, repeats);
    fmt::print("{:<28} {:>10} {:>8} {:>8}\n", "", "seconds", "GB/s", "AdamW is");
    fmt::print("{:<28} {:>10.4f} {:>8.2f}\n", "AdamW", median(adamw), rate(median(adamw)));
    fmt::print("{:<28} {:>10.4f} {:>8.2f} {:>7.0f}%\n", "memcpy moving as many bytes", median(moves), rate(median(moves)),
               100 * median(moves) / median(adamw));
    fmt::print("{:<28} {:>10.4f} {:>8.2f} {:>7.0f}%\n", "memcpy copying as many bytes", median(copies), rate(median(copies)),
               100 * median(copies) / median(adamw));
}
