#include "exec/host_rank.hpp"

#include "base/error.hpp"
#include "comm/local_communicator.hpp"
#include "exec/run_error.hpp"

#include <exception>
#include <map>
#include <mutex>
#include <thread>

namespace zerosim::exec {
namespace {

/// The worlds of all groups of all (stream, axis) pairs; one group of ranks shares one world.
class LocalWorlds {
public:
    LocalWorlds(const schedule::Schedule& schedule, std::int64_t ranks) : schedule_(schedule), control_(static_cast<int>(ranks)) {}

    RankCommunicators communicators(std::int64_t rank) {
        const schedule::Program& program = schedule_.program_of(rank);
        RankCommunicators result(program.streams.size(), schedule_.axes.size());
        for (const auto& [stream, axis_id] : communicators_needed(program)) {
            const schedule::Axis& axis = schedule_.axis(axis_id);
            const std::int64_t coordinate = axis.coordinate(rank);
            const std::tuple key{stream.value, axis_id.value, rank - coordinate * axis.stride};
            const auto found = worlds_.try_emplace(key, static_cast<int>(axis.size)).first;
            result.set(stream, axis_id, found->second.communicator(static_cast<int>(coordinate)));
        }
        return result;
    }
    std::unique_ptr<comm::ControlChannel> control(std::int64_t rank) { return control_.control(static_cast<int>(rank)); }

private:
    const schedule::Schedule& schedule_;
    comm::LocalWorld control_;
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::int64_t>, comm::LocalWorld> worlds_;
};

/// The error that came first, in time; one that only passes on a peer's gives way to the peer's own.
class FirstError {
public:
    void set(std::exception_ptr error, bool of_peer) {
        const std::lock_guard lock(mutex_);
        if (error_ && (of_peer || !of_peer_)) return;
        error_ = std::move(error);
        of_peer_ = of_peer;
    }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

private:
    std::mutex mutex_;
    std::exception_ptr error_;
    bool of_peer_ = false;
};

}  // namespace

std::unique_ptr<device::HostDevice> make_host_device(const schedule::Schedule& schedule, const schedule::Program& program, const std::optional<schedule::ArenaPlan>& arena,
                                                     int threads) {
    device::HostDeviceOptions options;
    options.threads = threads;
    options.policy = arena ? device::MemoryPolicy::planned : device::MemoryPolicy::caching;
    for (const auto& pool : program.pools) {
        options.pools.emplace_back(schedule.names[pool.name]);
        options.poison.push_back(program.streams[pool.owner.index()].kind == schedule::StreamKind::compute);
    }
    if (arena) options.arena_bytes = arena->pool_bytes;
    return std::make_unique<device::HostDevice>(std::move(options));
}

std::vector<RankResult> run_local(const schedule::Schedule& schedule, const HostRankOptions& host, const ExecuteOptions& options,
                                  std::span<comm::Progress> progress) {
    LocalWorlds worlds(schedule, schedule.ranks);
    std::vector<RankResult> results(static_cast<std::size_t>(schedule.ranks));
    std::vector<RankCommunicators> communicators;
    std::vector<std::unique_ptr<comm::ControlChannel>> controls;
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
        communicators.push_back(worlds.communicators(rank));
        controls.push_back(worlds.control(rank));
    }
    FirstError first_error;
    {
        std::vector<std::jthread> threads;
        for (std::int64_t rank = 0; rank < schedule.ranks; ++rank)
            threads.emplace_back([&, rank] {
                const auto index = static_cast<std::size_t>(rank);
                try {
                    const schedule::Program& program = schedule.program_of(rank);
                    ExecuteOptions mine = options;
                    if (host.planned_arena) mine.arena = schedule::plan_arena(program);
                    if (rank != 0) mine.on_step = nullptr;
                    const auto device = make_host_device(schedule, program, mine.arena, host.threads);
                    data::TokenSource tokens(host.data, host.vocabulary);
                    results[index] = execute_rank(schedule, rank, {*device, communicators[index], controls[index].get(), progress[index], tokens}, mine);
                } catch (const RunError& error) {
                    first_error.set(std::current_exception(), error.of_peer());
                } catch (const std::exception& error) {   // before it could run: nobody has told the others yet
                    first_error.set(std::current_exception(), false);
                    controls[index]->announce_abort({static_cast<int>(rank), static_cast<int>(ExitCode::environment), error.what()});
                }
            });
    }
    first_error.rethrow();
    combine_steps(results);
    return results;
}

}  // namespace zerosim::exec
