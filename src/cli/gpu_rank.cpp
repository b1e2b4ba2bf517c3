#include "cli/gpu_rank.hpp"

#include "base/error.hpp"
#include "base/units.hpp"
#include "comm/gpu_world.hpp"
#include "comm/local_communicator.hpp"
#include "device/gpu.hpp"
#include "exec/execute_on_streams.hpp"
#include "exec/run_error.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace zerosim::cli {
namespace {

device::GpuOptions gpu_options(const schedule::Schedule& schedule, const schedule::Program& program, const std::optional<schedule::ArenaPlan>& arena, int ordinal) {
    device::GpuOptions options;
    options.ordinal = ordinal;
    for (const schedule::Stream& stream : program.streams) options.streams.push_back({stream.kind == schedule::StreamKind::communication});
    for (const schedule::Pool& pool : program.pools) options.pools.push_back({std::string(schedule.names[pool.name]), pool.owner});
    if (arena) options.arena_bytes = arena->pool_bytes;
    return options;
}

/// NCCL refuses two ranks on one device of one host: each pretends to be a host of its own, and they talk over the loopback interface.
/// Slow, and right; the user's own settings win.
void pretend_separate_hosts(const GpuPlace& place) {
    ::setenv("NCCL_HOSTID", fmt::format("zerosim-rank-{}", place.rank).c_str(), 0);
    ::setenv("NCCL_SOCKET_IFNAME", "lo", 0);
}

}  // namespace

GpuPlace gpu_place(int rank, int ranks) {
    const auto first_of = [](std::initializer_list<const char*> names, int otherwise) {
        for (const char* name : names)
            if (const char* text = std::getenv(name); text != nullptr)
                if (const auto number = parse_integer(text)) return static_cast<int>(*number);
        return otherwise;
    };
    return {rank, ranks, first_of({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, rank),
            first_of({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"}, ranks)};
}

int choose_gpu(const GpuPlace& place, int visible, bool share) {
    if (visible < 1) throw EnvironmentError("no GPU is visible to this rank");
    // A launcher that binds one GPU to a rank shows each rank its own alone.
    const bool bound = visible == 1 && std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
    if (place.local_ranks > visible && !bound && !share)
        throw EnvironmentError(fmt::format("{} ranks of this node and {} GPU(s): ranks that share a GPU are slow; start fewer, or allow it with --share-device true", place.local_ranks, visible));
    return place.local_rank % visible;
}

exec::RankResult run_on_gpu(RunInput& input, const GpuPlace& place, comm::Communicator& host, comm::ControlChannel* control, comm::Progress& progress) {
    const schedule::Schedule& schedule = input.schedule;
    const schedule::Program& program = schedule.program_of(place.rank);
    const bool share = input.resolved.run.share_device;
    const int ordinal = choose_gpu(place, device::count_gpus(), share);
    if (share) pretend_separate_hosts(place);
    if (input.host.planned_arena) input.options.arena = schedule::plan_arena(program);
    const auto gpu = device::make_gpu(gpu_options(schedule, program, input.options.arena, ordinal));
    data::TokenSource tokens(input.host.data, input.host.vocabulary);
    exec::StreamCommunicators communicators(program.streams.size(), schedule.axes.size());
    std::optional<comm::GpuWorld> world;
    if (!exec::communicators_needed(program).empty()) {
        world.emplace(host, input.options.timeout_seconds);
        communicators = exec::split_communicators<comm::StreamCommunicator>(schedule, place.rank, [&world](int colour, int key) { return world->split(colour, key); });
    }
    return exec::execute_on_streams(schedule, place.rank, {*gpu, communicators, control, progress, tokens}, input.options);
}

std::vector<exec::RankResult> run_alone_on_gpu(RunInput input) {
    const comm::LocalWorld world(1);
    const auto host = world.communicator(0);
    comm::Progress progress;
    try {
        return {run_on_gpu(input, {}, *host, nullptr, progress)};
    } catch (const exec::RunError& error) {
        throw Error(error.code(), error.what());
    }
}

}  // namespace zerosim::cli
