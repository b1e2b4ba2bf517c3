#include "schedule/access.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "schedule/validate_types.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace zerosim::schedule {
namespace {

/// clock[s] = number of ops of stream s known to be complete before this point.
using Clock = std::vector<std::uint32_t>;

void merge(Clock& into, const Clock& from) {
    for (std::size_t s = 0; s < into.size(); ++s) into[s] = std::max(into[s], from[s]);
}

struct Use {
    OpId op;
    StreamId stream;
    std::uint32_t position;          // 1-based on its stream
    std::int64_t begin, end;         // bytes of the storage
    bool writes;
};

/// Walks init, first, steady and steady again, keeping vector clocks (Lamport; Fidge 1988) of what is complete when.
class OrderChecker {
public:
    OrderChecker(const Schedule& schedule, const Program& program, std::int64_t rank, std::vector<Violation>& violations)
        : schedule_(schedule), program_(program), rank_(rank), violations_(violations), streams_(program.streams.size()),
          issued_(streams_, 0), last_(streams_, Clock(streams_, 0)), host_(streams_, 0), done_(program.ops.size()),
          live_(program.storages.size(), false), written_(program.storages.size(), false), uses_(program.storages.size()) {}

    void run() {
        walk(0, program_.first_begin);
        if (program_.first_begin != program_.steady_begin) walk(program_.first_begin, program_.steady_begin);
        const std::vector<bool> before = live_;
        walk(program_.steady_begin, program_.ops.size());
        if (live_ != before) fail({}, "the storages alive after a steady step differ from those before it");
        if (violations_.empty()) walk(program_.steady_begin, program_.ops.size());   // across the step's border
    }

private:
    void fail(OpId op, std::string what) {
        if (violations_.size() < 50) violations_.push_back({rank_, op, std::move(what)});
    }

    void walk(std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) step(OpId{i});
    }

    void step(OpId id) {
        const Op& op = program_.op(id);
        Clock start = last_[op.stream.index()];
        merge(start, host_);
        for (const OpId dep : program_.deps_of(op)) merge(start, done_[dep.index()]);
        const std::uint32_t position = ++issued_[op.stream.index()];
        Clock finished = start;
        finished[op.stream.index()] = position;
        // The host waits for what it names, not for what precedes it on the stream (docs/schedule.md).
        if (op.kind == OpKind::host_wait)
            for (const OpId dep : program_.deps_of(op)) merge(host_, done_[dep.index()]);
        touch(id, op, start, position);
        last_[op.stream.index()] = finished;
        done_[id.index()] = std::move(finished);
    }

    void touch(OpId id, const Op& op, const Clock& start, std::uint32_t position) {
        if (op.kind == OpKind::alloc || op.kind == OpKind::free) {
            lifetime(id, op);
            // Host memory belongs to no stream: fresh when it is allocated, and the host's from then on.
            if (op.kind == OpKind::alloc && program_.storage(op.storage).space != Space::device) {
                uses_[op.storage.index()].clear();
                return;
            }
            use(op.storage, {id, op.stream, position, 0, program_.storage(op.storage).bytes, true}, start);
            return;
        }
        accesses(program_, op, accesses_);
        for (const OperandAccess& access : accesses_) {
            const Tensor& tensor = program_.tensor(access.tensor);
            if (!live_[tensor.storage.index()]) {
                fail(id, fmt::format("uses {}, whose storage is not allocated here", describe(schedule_, program_, access.tensor)));
                continue;
            }
            if (access.reads && !written_[tensor.storage.index()])
                fail(id, fmt::format("reads {}, which nothing has written", describe(schedule_, program_, access.tensor)));
            const std::int64_t offset = tensor.offset.at(schedule_.coordinate(tensor.offset, rank_));
            use(tensor.storage, {id, op.stream, position, offset, offset + tensor.extent_bytes(), access.writes}, start);
        }
        for (const OperandAccess& access : accesses_)
            if (access.writes) written_[program_.tensor(access.tensor).storage.index()] = true;
    }

    void lifetime(OpId id, const Op& op) {
        const std::size_t storage = op.storage.index();
        const std::string name(schedule_.names[program_.storages[storage].name]);
        if (op.kind == OpKind::alloc) {
            if (live_[storage]) fail(id, fmt::format("allocates storage {} again", name));
            live_[storage] = true;
            written_[storage] = program_.storages[storage].bytes == 0;
        } else {
            if (!live_[storage]) fail(id, fmt::format("frees storage {}, which is not allocated", name));
            live_[storage] = false;
        }
    }

    /// Every earlier conflicting use on another stream must be complete when this one starts.
    void use(StorageId storage, const Use& now, const Clock& start) {
        auto& uses = uses_[storage.index()];
        for (const Use& earlier : uses) {
            if (earlier.stream == now.stream || !(earlier.writes || now.writes)) continue;
            if (earlier.begin >= now.end || now.begin >= earlier.end) continue;
            if (start[earlier.stream.index()] < earlier.position)
                fail(now.op, fmt::format("is not ordered after op {} ({}), which uses the same bytes of {} on another stream", earlier.op.value,
                                         describe(schedule_, program_, earlier.op), schedule_.names[program_.storage(storage).name]));
        }
        const bool whole = now.writes && now.begin == 0 && now.end >= program_.storage(storage).bytes;
        if (whole) uses.clear();   // later uses are ordered after this one, and so after all before it
        else
            std::erase_if(uses, [&](const Use& u) { return u.stream == now.stream && u.writes <= now.writes && u.begin >= now.begin && u.end <= now.end; });
        uses.push_back(now);
    }

    const Schedule& schedule_;
    const Program& program_;
    std::int64_t rank_;
    std::vector<Violation>& violations_;
    std::size_t streams_;
    std::vector<std::uint32_t> issued_;
    std::vector<Clock> last_;
    Clock host_;
    std::vector<Clock> done_;
    std::vector<bool> live_, written_;
    std::vector<std::vector<Use>> uses_;
    std::vector<OperandAccess> accesses_;
};

}  // namespace

std::vector<Violation> validate_program(const Schedule& schedule, const Program& program, std::int64_t rank) {
    std::vector<Violation> violations;
    validate_types(schedule, program, rank, violations);
    if (violations.empty()) OrderChecker(schedule, program, rank, violations).run();
    return violations;
}

std::vector<Violation> validate(const Schedule& schedule) {
    std::vector<Violation> violations;
    for (const RankRole& role : schedule.roles) {
        // Views that depend on the rank are checked at both ends of the role.
        for (const std::int64_t rank : std::set<std::int64_t>{role.first_rank, role.first_rank + role.count - 1}) {
            auto found = validate_program(schedule, schedule.programs[role.program], rank);
            violations.insert(violations.end(), found.begin(), found.end());
        }
    }
    if (violations.empty()) violations = validate_matching(schedule);
    return violations;
}

}  // namespace zerosim::schedule
