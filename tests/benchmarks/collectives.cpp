// Collectives through the Communicator against the raw ways to the same result, side by side in one run.
//   mpirun -n 2 benchmark_collectives [repeats] [MiB ...]
// Everything runs on a second thread, as in a run: the main thread waits. Each repeat of each variant is timed from a barrier to
// the slowest rank's end; variants are interleaved, medians compared. `best raw` is the fastest of the raw variants.
#ifdef ZEROSIM_HAS_MPI
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_session.hpp"
#include "comm/rank_order_sum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace zerosim;

namespace {

struct Variant {
    std::string name;
    std::function<void()> run;
    std::vector<double> seconds{};
};

struct Buffers {
    std::vector<float> whole, other, scratch;
};

void wait(MPI_Request& request) { comm::check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait"); }

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// The sum of `ranks` slices of scratch, as the Communicator does it: the raw ways get the same loop.
void sum_slices(const Buffers& b, int ranks, float* out, int count) {
    std::vector<const void*> sources;
    for (int peer = 0; peer < ranks; ++peer) sources.push_back(b.scratch.data() + std::ptrdiff_t{peer} * count);
    comm::rank_order_sum(DType::fp32, sources, out, count);
}

std::vector<Variant> all_gather(comm::Communicator& communicator, Buffers& b, int count) {
    const std::ptrdiff_t own = std::ptrdiff_t{communicator.rank()} * count;
    float* whole = b.whole.data();
    return {
        {"communicator",
         [=, &communicator] {
             communicator.run({.kind = CollectiveKind::all_gather, .count = count, .send = whole + own, .receive = whole});
         }},
        {"MPI_Allgather", [=] { MPI_Allgather(MPI_IN_PLACE, count, MPI_FLOAT, whole, count, MPI_FLOAT, MPI_COMM_WORLD); }},
        {"MPI_Iallgather",
         [=] {
             MPI_Request request;
             MPI_Iallgather(MPI_IN_PLACE, count, MPI_FLOAT, whole, count, MPI_FLOAT, MPI_COMM_WORLD, &request);
             wait(request);
         }},
    };
}

std::vector<Variant> reduce_scatter(comm::Communicator& communicator, Buffers& b, int count) {
    const int ranks = communicator.size();
    float *whole = b.whole.data(), *other = b.other.data(), *scratch = b.scratch.data();
    return {
        {"communicator",
         [=, &communicator] {
             communicator.run({.kind = CollectiveKind::reduce_scatter,
                               .reduction = Reduction::sum,
                               .count = count,
                               .send = whole,
                               .receive = other,
                               .scratch = scratch});
         }},
        {"MPI_Reduce_scatter_block", [=] { MPI_Reduce_scatter_block(whole, other, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }},
        {"MPI_Ireduce_scatter_block",
         [=] {
             MPI_Request request;
             MPI_Ireduce_scatter_block(whole, other, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request);
             wait(request);
         }},
        {"MPI_Alltoall + sum",
         [=, &b] {
             MPI_Alltoall(whole, count, MPI_FLOAT, scratch, count, MPI_FLOAT, MPI_COMM_WORLD);
             sum_slices(b, ranks, other, count);
         }},
    };
}

std::vector<Variant> all_reduce(comm::Communicator& communicator, Buffers& b, int count) {
    const int ranks = communicator.size(), chunk = count / ranks;
    const std::ptrdiff_t own = std::ptrdiff_t{communicator.rank()} * chunk;
    float *whole = b.whole.data(), *other = b.other.data(), *scratch = b.scratch.data();
    return {
        {"communicator",
         [=, &communicator] {
             communicator.run({.kind = CollectiveKind::all_reduce,
                               .reduction = Reduction::sum,
                               .count = count,
                               .send = whole,
                               .receive = other,
                               .scratch = scratch});
         }},
        {"MPI_Allreduce", [=] { MPI_Allreduce(whole, other, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }},
        {"MPI_Iallreduce",
         [=] {
             MPI_Request request;
             MPI_Iallreduce(whole, other, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request);
             wait(request);
         }},
        {"MPI_Alltoall + sum + MPI_Allgather",
         [=, &b] {
             MPI_Alltoall(whole, chunk, MPI_FLOAT, scratch, chunk, MPI_FLOAT, MPI_COMM_WORLD);
             sum_slices(b, ranks, other + own, chunk);
             MPI_Allgather(MPI_IN_PLACE, chunk, MPI_FLOAT, other, chunk, MPI_FLOAT, MPI_COMM_WORLD);
         }},
    };
}

/// Fills in the variants' times: the slowest rank's, the same on every rank.
void measure(std::vector<Variant>& variants, int repeats) {
    for (int repeat = -2; repeat < repeats; ++repeat) { // two to warm up
        for (std::size_t i = 0; i < variants.size(); ++i) {
            Variant& variant = variants[(i + static_cast<std::size_t>(repeat + 2)) % variants.size()];
            MPI_Barrier(MPI_COMM_WORLD);
            const double begin = MPI_Wtime();
            variant.run();
            double seconds = MPI_Wtime() - begin;
            MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
            if (repeat >= 0) variant.seconds.push_back(seconds);
        }
    }
}

void report(const char* kind, double mib, const std::vector<Variant>& variants) {
    const double own = median(variants[0].seconds);
    std::size_t best = 1;
    for (std::size_t i = 2; i < variants.size(); ++i)
        if (median(variants[i].seconds) < median(variants[best].seconds)) best = i;
    std::string others;
    for (std::size_t i = 1; i < variants.size(); ++i)
        others += fmt::format("  {} {:.3f}", variants[i].name, 1e3 * median(variants[i].seconds));
    fmt::print("{:<15}{:>6.2f} {:>10.3f} {:>10.3f} {:>7.1f} %  {:<36}{}\n", kind, mib, 1e3 * own,
               1e3 * median(variants[best].seconds), 100 * median(variants[best].seconds) / own, variants[best].name, others);
    std::fflush(stdout);
}

void benchmark(const comm::MpiSession& session, int repeats, const std::vector<double>& sizes) {
    comm::MpiCommunicator communicator(MPI_COMM_WORLD, comm::ReductionOrder::rank);
    if (session.rank() == 0) {
        fmt::print("# {} ranks, fp32, medians of {} interleaved repeats, milliseconds; ratio = best raw / communicator\n",
                   session.size(), repeats);
        fmt::print("# {:<13}{:>6} {:>10} {:>10} {:>9}  {:<36}  all raw\n", "kind", "MiB", "own ms", "best ms", "ratio",
                   "best raw");
    }
    for (const double mib : sizes) {
        const int ranks = session.size();
        const int slice = static_cast<int>(mib * (1 << 20) / sizeof(float)) / ranks;
        const auto length = static_cast<std::size_t>(slice) * static_cast<std::size_t>(ranks);
        Buffers b{std::vector<float>(length, 1.0f), std::vector<float>(length, 2.0f), std::vector<float>(length, 3.0f)};
        const auto run = [&](const char* kind, std::vector<Variant> variants) {
            measure(variants, repeats);
            if (session.rank() == 0) report(kind, mib, variants);
        };
        run("all-gather", all_gather(communicator, b, slice));
        run("reduce-scatter", reduce_scatter(communicator, b, slice));
        run("all-reduce", all_reduce(communicator, b, slice * ranks));
    }
}

} // namespace

int main(int argc, char** argv) {
    const comm::MpiSession session;
    const int repeats = argc > 1 ? std::atoi(argv[1]) : 31;
    std::vector<double> sizes;
    for (int i = 2; i < argc; ++i) sizes.push_back(std::atof(argv[i]));
    if (sizes.empty()) sizes = {1, 2, 4, 8, 16, 32, 64};
    std::thread stream([&] { benchmark(session, repeats, sizes); });
    stream.join();
}

#else

#include <cstdio>

int main() {
    std::fputs("built without MPI: nothing to compare\n", stderr);
    return 3;
}

#endif
