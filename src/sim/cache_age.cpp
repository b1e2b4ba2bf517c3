#include "sim/cache_age.hpp"

#include "cost/placement.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;

/// What does not fit keeps missing from the second step on; what fits as a whole is all there after a few.
constexpr int kSteps = 6;
/// A collective goes through its buffers side by side: in so many parts.
constexpr std::int64_t kParts = 16;

/// A rank's own cache, or its part of one that is shared, and when each page of its memory was last touched. Time is bytes that came into the cache.
class Pages {
public:
    Pages(const Program& program, const schedule::ArenaPlan& plan, double capacity) : program_(program), plan_(plan), capacity_(capacity) {
        std::int64_t total = 0;
        for (const std::int64_t bytes : plan_.pool_bytes) {
            pool_begin_.push_back(total);
            total += bytes;
        }
        // A cache holds 256 pages; memories of more than 65,536 are kept in larger ones, none of which is in the cache anyway.
        page_ = std::max<std::int64_t>({4096, static_cast<std::int64_t>(capacity / 256), total / 65'536});
        touched_.assign(static_cast<std::size_t>(total / page_ + 1), -std::numeric_limits<double>::infinity());
    }

    /// Of a tensor: bytes, and those that had left the cache. They are in it then.
    struct Found {
        double bytes = 0, gone = 0;
    };
    Found touch(TensorId id, std::int64_t part = 0, std::int64_t parts = 1) {
        if (!id.valid()) return {};
        const schedule::Tensor& tensor = program_.tensor(id);
        const schedule::Storage& storage = program_.storage(tensor.storage);
        const std::int64_t bytes = tensor.extent_bytes(), skipped = bytes * part / parts, end = bytes * (part + 1) / parts;
        if (skipped == end || storage.space == schedule::Space::nvme) return {};
        const std::int64_t tensor_begin = pool_begin_[storage.pool.index()] + plan_.offsets[tensor.storage.index()] + tensor.offset.at(0);
        return touch(tensor_begin + skipped, tensor_begin + end);
    }
    /// Part of what was touched at `time` that has left since. Between dropping what was used longest ago (all goes at once when the cache has been
    /// filled once more) and dropping at random (1 - exp(-x)); of these and a straight line, what is nearest to the collectives of 88 runs.
    [[nodiscard]] double gone_since(double time) const {
        constexpr double kAll = 6.2; // exp(-6.2 * 6.2) is less than half of the last bit of 1
        const double filled = (now_ - time) / capacity_;
        return filled >= kAll ? 1.0 : -std::expm1(-filled * filled);
    }
    /// Bytes that have come into the cache so far.
    [[nodiscard]] double now() const { return now_; }
    /// Whether as much of every page is gone as when this was asked last, to a part in 10^9: then the next step is like the one before.
    [[nodiscard]] bool settled() {
        bool same = !gone_.empty();
        gone_.resize(touched_.size(), 0);
        for (std::size_t page = 0; page < gone_.size(); ++page) {
            const double gone = gone_since(touched_[page]);
            same = same && std::abs(gone - gone_[page]) <= 1e-9;
            gone_[page] = gone;
        }
        return same;
    }

private:
    Found touch(std::int64_t begin, std::int64_t end) {
        double gone = 0, time = now_, since = 0; // neighbours were mostly touched at the same time
        for (std::int64_t page = begin / page_; page * page_ < end; ++page) {
            double& touched = touched_[static_cast<std::size_t>(page)];
            if (touched != time) since = gone_since(time = touched);
            const std::int64_t here = std::min(end, (page + 1) * page_) - std::max(begin, page * page_);
            gone += since * static_cast<double>(here);
            touched = now_;
        }
        now_ += gone;
        return {static_cast<double>(end - begin), gone};
    }

    const Program& program_;
    const schedule::ArenaPlan& plan_;
    std::vector<std::int64_t> pool_begin_;
    double capacity_, now_ = 0;
    std::int64_t page_ = 0;
    std::vector<double> touched_;
    std::vector<double> gone_; // when settled() was asked last
};

/// Which part of what a collective sends had left the cache; all its buffers are in it then. What it writes costs the same, cold or warm: counted beside
/// what is sent, it takes the prediction further from 66 runs (a gather right after the update of its own shard runs as if all were warm).
double touch_buffers(Pages& pages, const schedule::Collective& collective) {
    Pages::Found sent;
    for (std::int64_t part = 0; part < kParts; ++part) {
        const Pages::Found found = pages.touch(collective.send, part, kParts);
        sent.bytes += found.bytes;
        sent.gone += found.gone;
        for (const TensorId written : {collective.receive, collective.scratch}) (void)pages.touch(written, part, kParts);
    }
    return sent.bytes > 0 ? sent.gone / sent.bytes : 0.0;
}

/// Short messages and announced ones (rendezvous) take paths of their own through the transport. Measured on Zen 5 with Open MPI 4.1: after 48 MiB of a product a
/// gather of 8 bytes takes 7.7 us, right after an exchange of 1 MiB then still 3.0, and 0.9 after another of 8 bytes.
constexpr double kOwnPath = (3.0 - 0.9) / (7.7 - 0.9);

/// Where a calibration did not find it: Open MPI 4.1's btl_vader_eager_limit.
constexpr std::int64_t kEagerBytes = 4096;

/// Of a collective's buffers, and of what the transport touched last, 0 to 1.
struct Age {
    double data = 0, transport = 0;
};

/// The walks through a program, one for each cache.
class Walk {
public:
    Walk(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster)
        : schedule_(schedule), program_(program), eager_bytes_(cluster.transport.eager_bytes > 0 ? cluster.transport.eager_bytes : kEagerBytes), plan_(schedule::plan_arena(program)) {}

    /// Calls `found(op, age)` for every collective of every step; the last call for an op counts.
    template <class Found> void ages(double capacity, const Found& found) const {
        Pages pages(program_, plan_, capacity);
        double last_collective = 0;
        std::array<double, 2> last_of_path{};
        const auto walk = [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                const Op& op = program_.ops[i];
                if (op.kind != OpKind::collective) {
                    for (const TensorId id : program_.operands_of(op)) (void)pages.touch(id);
                    continue;
                }
                const schedule::Collective& collective = program_.collective_of(op);
                double& of_path = last_of_path[is_announced(collective) ? 1 : 0];
                const double transport = std::lerp(pages.gone_since(last_collective), pages.gone_since(of_path), kOwnPath);
                found(i, Age{touch_buffers(pages, collective), transport});
                last_collective = of_path = pages.now();
            }
        };
        walk(0, program_.ops.size());
        for (int step = 1; step < kSteps && !pages.settled(); ++step) walk(program_.steady_begin, program_.ops.size());
    }

private:
    /// Whether its messages are: slices, as of all kinds that a step has but the smallest all-reduces.
    [[nodiscard]] bool is_announced(const schedule::Collective& collective) const {
        return schedule::message_bytes(program_, collective) / std::max<std::int64_t>(schedule_.axis(collective.axis).size, 1) > eager_bytes_;
    }

    const schedule::Schedule& schedule_;
    const Program& program_;
    std::int64_t eager_bytes_;
    schedule::ArenaPlan plan_;
};

} // namespace

std::vector<cost::Coldness> coldness_of_collectives(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster) {
    const bool told = cluster.transport.cold_bytes_per_second > 0 && cluster.transport.cache_bytes > 0;
    if (!cluster.device.is_cpu || !told || cluster.free_communication || schedule.ranks < 2) return {};
    const auto here = static_cast<double>(std::clamp<std::int64_t>(schedule.ranks, 1, cluster.devices_per_node));
    const double capacity = static_cast<double>(cluster.transport.cache_bytes) / here;
    const auto own = static_cast<double>(cluster.device.host_kernels.cache_bytes);
    const Walk walk(schedule, program, cluster);
    std::vector<cost::Coldness> result(program.ops.size());
    walk.ages(capacity, [&](std::size_t op, Age age) {
        result[op] = {age.data, age.transport, age.data, age.transport}; // a core's own cache that is no smaller says no more
    });
    if (own > 0 && own < capacity)
        walk.ages(own, [&](std::size_t op, Age age) {
            result[op].own_data = std::max(age.data, result[op].data);
            result[op].own_transport = std::max(age.transport, result[op].transport);
        });
    return result;
}

} // namespace zerosim::sim
