// GoogleTest under mpirun: every rank reports its own failures, all ranks agree on the verdict, and a rank that leaves the others
// waiting ends the job instead of hanging it.
#include "comm/mpi_handle.hpp"
#include "comm/mpi_session.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

namespace {

constexpr unsigned kSecondsPerTest = 40; // below ctest's TIMEOUT, so that the test is named
char current_test[256] = "before the first test";

extern "C" void on_alarm(int) {
    // Only async-signal-safe calls, but for MPI_Abort, without which the other ranks would wait for ever.
    const auto say = [](const char* text) { return write(STDERR_FILENO, text, std::strlen(text)); };
    if (say("watchdog: no end of ") < 0 || say(current_test) < 0 || say("\n") < 0) {
    }
    MPI_Abort(MPI_COMM_WORLD, 3);
}

/// Instead of the printer on ranks other than 0, whose failures would otherwise stay unseen.
class RankListener : public testing::EmptyTestEventListener {
public:
    explicit RankListener(const zerosim::comm::MpiSession& session) : session_(session) {}

private:
    void OnTestStart(const testing::TestInfo& info) override {
        std::snprintf(current_test, sizeof current_test, "%s.%s on rank %d", info.test_suite_name(), info.name(),
                      session_.rank());
        alarm(kSecondsPerTest);
    }
    void OnTestPartResult(const testing::TestPartResult& result) override {
        if (!result.failed() || session_.rank() == 0) return;
        std::fprintf(stderr, "[rank %d] %s:%d: %s\n", session_.rank(), result.file_name() ? result.file_name() : "?",
                     result.line_number(), result.message());
    }
    void OnTestEnd(const testing::TestInfo& info) override {
        const int mine = info.result()->Failed() ? 1 : 0;
        int all = 0;
        MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
        alarm(0);
        if (all > mine) ADD_FAILURE() << "failed on " << all - mine << " other rank(s)";
    }

    const zerosim::comm::MpiSession& session_;
};

} // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const zerosim::comm::MpiSession session;
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    if (session.rank() != 0) delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new RankListener(session));
    std::signal(SIGALRM, on_alarm);
    int failed = RUN_ALL_TESTS();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return failed;
}
