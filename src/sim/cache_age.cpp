#include "sim/cache_age.hpp"

#include "cost/placement.hpp"
#include "schedule/memory.hpp"

#include <algorithm>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;

/// What does not fit keeps missing from the second step on; what fits as a whole is all there after a few.
constexpr int kSteps = 6;

/// One rank's part of a cache, and when each page of its memory was last touched. Time is bytes that came into the cache.
class Pages {
public:
    Pages(const Program& program, double capacity) : program_(program), plan_(schedule::plan_arena(program)), capacity_(capacity) {
        std::int64_t total = 0;
        for (const std::int64_t bytes : plan_.pool_bytes) {
            pool_begin_.push_back(total);
            total += bytes;
        }
        // A cache holds 256 pages; memories of more than 65,536 are kept in larger ones, none of which is in the cache anyway.
        page_ = std::max<std::int64_t>({4096, static_cast<std::int64_t>(capacity / 256), total / 65'536});
        touched_.assign(static_cast<std::size_t>(total / page_ + 1), -capacity);
    }

    /// Mean age of the tensor's pages, 0 to 1; they are young then.
    double touch(TensorId id) {
        if (!id.valid()) return 0;
        const schedule::Tensor& tensor = program_.tensor(id);
        const std::int64_t bytes = tensor.extent_bytes();
        if (bytes == 0 || program_.storage(tensor.storage).space == schedule::Space::nvme) return 0;
        const std::int64_t begin = pool_begin_[program_.storage(tensor.storage).pool.index()] + plan_.offsets[tensor.storage.index()] + tensor.offset.at(0);
        const std::int64_t first = begin / page_, last = (begin + bytes - 1) / page_;
        double missed = 0;
        for (std::int64_t page = first; page <= last; ++page) {
            double& touched = touched_[static_cast<std::size_t>(page)];
            const double age = std::min(1.0, (now_ - touched) / capacity_);
            const std::int64_t here = std::min(begin + bytes, (page + 1) * page_) - std::max(begin, page * page_);
            missed += age * static_cast<double>(here);
            touched = now_;
        }
        now_ += missed;
        return missed / static_cast<double>(bytes);
    }
    /// Bytes that have come into the cache so far.
    [[nodiscard]] double now() const { return now_; }

private:
    const Program& program_;
    schedule::ArenaPlan plan_;
    std::vector<std::int64_t> pool_begin_;
    double capacity_, now_ = 0;
    std::int64_t page_ = 0;
    std::vector<double> touched_;
};

} // namespace

std::vector<cost::Coldness> coldness_of_collectives(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster) {
    const bool told = cluster.transport.cold_bytes_per_second > 0 && cluster.transport.cache_bytes > 0;
    if (!cluster.device.is_cpu || !told || cluster.free_communication || schedule.ranks < 2) return {};
    const auto here = static_cast<double>(std::clamp<std::int64_t>(schedule.ranks, 1, cluster.devices_per_node));
    const double capacity = static_cast<double>(cluster.transport.cache_bytes) / here;
    Pages pages(program, capacity);
    std::vector<cost::Coldness> result(program.ops.size());
    double last_collective = 0;
    const auto walk = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const Op& op = program.ops[i];
            if (op.kind != OpKind::collective) {
                for (const TensorId id : program.operands_of(op)) pages.touch(id);
                continue;
            }
            const schedule::Collective& collective = program.collective_of(op);
            const double since = std::min(1.0, (pages.now() - last_collective) / capacity);
            const double sent = pages.touch(collective.send), received = pages.touch(collective.receive);
            pages.touch(collective.scratch);
            result[i] = {std::max(sent, received), since};
            last_collective = pages.now();
        }
    };
    walk(0, program.ops.size());
    for (int step = 1; step < kSteps; ++step) walk(program.steady_begin, program.ops.size());
    return result;
}

} // namespace zerosim::sim
