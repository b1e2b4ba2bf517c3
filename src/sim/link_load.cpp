#include "sim/link_load.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::sim {
namespace {

/// Collectives are issued soon after those that they run beside: older stretches cannot matter to them.
constexpr std::size_t kRemembered = 16;
/// Shares closer than this are equal: what rounding leaves of a full link is not a link.
constexpr double kNothing = 1e-9;

double share_left(double taken, double wanted) {
    if (wanted <= 0) return 1;
    const double left = 1 - taken;
    return left < kNothing ? 0 : std::min(1.0, left / wanted);
}

} // namespace

double LinkLoad::pace(const Stretch& stretch, LinkDemand demand) {
    return std::min(share_left(stretch.taken.nvlink, demand.nvlink), share_left(stretch.taken.network, demand.network));
}

std::int64_t LinkLoad::end_of(std::int64_t begin, std::int64_t alone, LinkDemand demand) const {
    auto next = stretches_.end();
    while (next != stretches_.begin() && std::prev(next)->end > begin) --next;
    double left = static_cast<double>(alone); // work, in time alone
    std::int64_t now = begin;
    for (; next != stretches_.end(); ++next) {
        const double before = static_cast<double>(std::max<std::int64_t>(0, next->begin - now));
        if (left <= before) break;
        left -= before;
        now = std::max(now, next->begin);
        const double at_pace = pace(*next, demand), shared = static_cast<double>(next->end - now);
        if (left <= shared * at_pace) return now + std::llround(left / at_pace);
        left -= shared * at_pace;
        now = next->end;
    }
    return now + std::llround(left);
}

void LinkLoad::add(std::int64_t begin, std::int64_t end, LinkDemand demand) {
    if (begin >= end || (demand.nvlink <= 0 && demand.network <= 0)) return;
    std::size_t at = stretches_.size();
    while (at > 0 && stretches_[at - 1].end > begin) --at;
    while (begin < end) {
        if (at == stretches_.size() || stretches_[at].begin >= end) { // idle until the end
            stretches_.insert(stretches_.begin() + static_cast<std::ptrdiff_t>(at), {begin, end, demand});
            break;
        }
        Stretch& here = stretches_[at];
        if (here.begin > begin) { // idle before it
            const std::int64_t until = here.begin;
            stretches_.insert(stretches_.begin() + static_cast<std::ptrdiff_t>(at++), {begin, until, demand});
            begin = until;
            continue;
        }
        if (here.begin < begin) { // split where the collective begins
            const Stretch head{here.begin, begin, here.taken};
            here.begin = begin;
            stretches_.insert(stretches_.begin() + static_cast<std::ptrdiff_t>(at++), head);
            continue;
        }
        if (here.end > end) { // and where it ends
            const Stretch tail{end, here.end, here.taken};
            here.end = end;
            stretches_.insert(stretches_.begin() + static_cast<std::ptrdiff_t>(at + 1), tail);
            continue;
        }
        const double at_pace = pace(here, demand);
        here.taken.nvlink = std::min(1.0, here.taken.nvlink + demand.nvlink * at_pace);
        here.taken.network = std::min(1.0, here.taken.network + demand.network * at_pace);
        begin = here.end;
        ++at;
    }
    if (stretches_.size() > kRemembered) stretches_.erase(stretches_.begin(), stretches_.end() - static_cast<std::ptrdiff_t>(kRemembered));
}

} // namespace zerosim::sim
