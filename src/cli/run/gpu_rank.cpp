#include "cli/run/gpu_rank.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/units.hpp"
#include "cli/run/deadline.hpp"
#include "cli/run/gpu_transport.hpp"
#include "comm/gpu_world.hpp"
#include "comm/local_communicator.hpp"
#include "device/gpu.hpp"
#include "device/nvml.hpp"
#include "exec/execute_on_streams.hpp"
#include "exec/run_error.hpp"

#include <fmt/format.h>

#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace zerosim::cli {
namespace {

/// What the management library answers; -1 where there is none.
template <class Ask>
std::int64_t ask_driver(const Ask& ask) {
    try {
        return ask(device::Nvml());
    } catch (const EnvironmentError&) {
        return -1;
    }
}

/// register-buffers: arenas of memory that NCCL can use without copies, registered on every communicator. All ranks run one program, so every
/// buffer lies at the same offset of its arena, as NCCL asks ("User Buffer Registration").
class RegisteredArenas {
public:
    using Handles = std::vector<std::shared_ptr<void>>;
    RegisteredArenas(const schedule::Schedule& schedule, bool wanted) : wanted_(wanted) {
        if (wanted && schedule.roles.size() > 1) throw ConfigError("register-buffers: ranks of this schedule have programs of their own, whose buffers lie at other offsets; leave it out");
    }
    [[nodiscard]] bool wanted() const { return wanted_; }
    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::int64_t bytes) {
        arenas_.emplace_back(comm::registrable_memory(bytes), bytes);
        return arenas_.back().first;
    }
    [[nodiscard]] Handles register_on(exec::StreamCommunicators& communicators) const {
        Handles handles;
        communicators.for_each([&](comm::StreamCommunicator& communicator) {
            for (const auto& [data, bytes] : arenas_) handles.push_back(communicator.register_memory(data.get(), bytes));
        });
        return handles;
    }

private:
    bool wanted_;
    std::vector<std::pair<std::shared_ptr<std::byte>, std::int64_t>> arenas_;
};

/// For what is let go of after a failure: the device waits for its kernels, which may never end.
constexpr double kEndSeconds = 5;

/// Says it and ends the process, and the job.
std::function<void()> stuck(const RunInput& input, std::string what) {
    return [&input, what = std::move(what)] { input.options.on_stuck(what); };
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
    const double patience = std::max(input.options.timeout_seconds, kGpuStartSeconds);
    std::optional<Deadline> limit;                       // first: it watches over the end of all below
    limit.emplace(patience, stuck(input, fmt::format("setting up the GPU takes longer than {:.0f} s: a rank is stopped or missing (timeout-seconds)", patience)));
    const int ordinal = choose_gpu(place, device::count_gpus(), input.resolved.run.share_device);
    if (input.host.planned_arena) input.options.arena = schedule::plan_arena(program);
    device::GpuOptions options = exec::gpu_options(schedule, program, input.options.arena);
    options.ordinal = ordinal;
    options.used_before = ask_driver([ordinal](const device::Nvml& nvml) { return nvml.used_bytes(device::pci_of(ordinal)); });
    const bool communicates = !exec::communicators_needed(program).empty();
    std::optional<GpuTransport> transport;               // its switches are set before NCCL is loaded
    if (communicates) transport.emplace(input.resolved.run.transport, device::pci_of(ordinal), host, gpu_machine(), input.resolved.run.share_device);
    options.shared = transport && transport->sharing();
    RegisteredArenas arenas(schedule, input.resolved.run.register_buffers && communicates);
    if (arenas.wanted()) options.arena_memory = [&arenas](std::int64_t bytes) { return arenas.allocate(bytes); };
    const auto gpu = device::make_gpu(options);
    data::TokenSource tokens(input.host.data, input.host.vocabulary);
    exec::StreamCommunicators communicators(program.streams.size(), schedule.axes.size());
    std::optional<comm::GpuWorld> world;
    if (communicates) {
        limit.emplace(patience + kEndSeconds, stuck(input, fmt::format("NCCL does not come up in {:.0f} s, and does not say so", patience + kEndSeconds)));   // NCCL's own limit is first
        gpu->driver_ledger()->during(device::DriverPart::communicators, [&] {
            world.emplace(host, patience);
            communicators = exec::split_communicators<comm::StreamCommunicator>(schedule, place.rank, [&world](int colour, int key) { return world->split(colour, key); });
        });
    }
    const RegisteredArenas::Handles registered = arenas.register_on(communicators);   // goes before the communicators
    limit.reset();                                       // the executor watches over itself
    try {
        exec::RankResult result = exec::execute_on_streams(schedule, place.rank, {*gpu, communicators, control, progress, tokens}, input.options);
        limit.emplace(patience, stuck(input, fmt::format("letting go of the GPU and of NCCL takes longer than {:.0f} s", patience)));
        if (transport) result.paths = transport->paths();
        result.driver.of_process = ask_driver([ordinal](const device::Nvml& nvml) { return nvml.process_bytes(device::pci_of(ordinal), ::getpid()); });
        result.driver.total = device::list_gpus()[static_cast<std::size_t>(ordinal)].memory_bytes;
        return result;
    } catch (const std::exception& error) {
        limit.emplace(kEndSeconds, stuck(input, error.what()));
        throw;
    }
}

RanksRun run_alone_on_gpu(RunInput input) {
    const comm::LocalWorld world(1);
    const auto host = world.communicator(0);
    comm::Progress progress;
    const auto end_process = [](const std::string& what) {
        fmt::print(stderr, "{}\n", log_line({}, LogLevel::error, what));
        std::fflush(nullptr);
        std::_Exit(static_cast<int>(ExitCode::environment));
    };
    input.options.on_stuck = end_process;
    input.options.leave = [end_process] { end_process("injected exit (--inject)"); };
    try {
        return {{run_on_gpu(input, {}, *host, nullptr, progress)}, {}};
    } catch (const exec::RunError& error) {
        throw Error(error.code(), error.what());
    }
}

}  // namespace zerosim::cli
