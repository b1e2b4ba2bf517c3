// What a dying process says, seen by the process that reads its stderr: every line arrives in one piece.
#include "cli/signals.hpp"

#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using ::testing::ElementsAre;

/// A child with these ranks gets the signal, and ends with 0 if it lives and knows; a datagram for each write it makes to stderr.
std::vector<std::string> said_by(const std::vector<std::string>& labels, const std::vector<std::string>& ops, Interrupt interrupt, int signal, int times = 1) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return {"no socket"};
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        std::vector<comm::Progress> progress(labels.size());
        for (std::size_t rank = 0; rank < labels.size(); ++rank) {
            progress[rank].step = 3;
            progress[rank].op = static_cast<std::int64_t>(rank);
        }
        const SignalReports reports(labels, ops, progress, interrupt);
        for (int i = 0; i < times; ++i) ::raise(signal);
        ::_exit(reports.interrupted() ? 0 : 1);
    }
    ::close(ends[1]);
    std::vector<std::string> pieces;
    std::array<char, 2 * PIPE_BUF> room;
    for (ssize_t count = 0; (count = ::recv(ends[0], room.data(), room.size(), 0)) > 0;) pieces.emplace_back(room.data(), static_cast<std::size_t>(count));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    pieces.push_back(WIFEXITED(status) ? std::to_string(WEXITSTATUS(status)) : "killed");
    return pieces;
}

TEST(SignalReports, ARankOfSeveralProcessesSaysItsPlaceInOneWrite) {
    EXPECT_THAT(said_by({"[rank 0/3 here]"}, {"matmul", "gather"}, Interrupt::ends_at_once, SIGTERM),
                ElementsAre("zerosim: [rank 0/3 here] ended by SIGTERM in step 3, op 0 (matmul)\n", "143"));
    EXPECT_THAT(said_by({"[rank 0/3 here]"}, {"matmul", "gather"}, Interrupt::ends_at_once, SIGFPE),
                ElementsAre("zerosim: [rank 0/3 here] error: died of SIGFPE in step 3, op 0 (matmul)\n", "136"));
}

TEST(SignalReports, RanksOfOneProcessHaveALineEach) {
    EXPECT_THAT(said_by({"[rank 0/2]", "[rank 1/2]"}, {"matmul", "gather"}, Interrupt::ends_after_the_step, SIGSEGV),
                ElementsAre("zerosim: error: died of SIGSEGV; its ranks were\n", "  [rank 0/2] in step 3, op 0 (matmul)\n", "  [rank 1/2] in step 3, op 1 (gather)\n", "139"));
}

TEST(SignalReports, RanksOfOneProcessEndAfterTheStepUnlessAskedTwice) {
    const std::string asked = "zerosim: interrupted by SIGTERM: ends after this step; once more ends at once\n";
    EXPECT_THAT(said_by({"[rank 0/1]"}, {"matmul"}, Interrupt::ends_after_the_step, SIGTERM), ElementsAre(asked, "0"));
    EXPECT_THAT(said_by({"[rank 0/1]"}, {"matmul"}, Interrupt::ends_after_the_step, SIGTERM, 2),
                ElementsAre(asked, "zerosim: [rank 0/1] ended by SIGTERM in step 3, op 0 (matmul)\n", "143"));
}

TEST(SignalReports, ALineThatAPipeWouldBreakIsCut) {
    const auto pieces = said_by({"[rank 0/1]"}, {std::string(2 * PIPE_BUF, 'x')}, Interrupt::ends_at_once, SIGINT);
    ASSERT_EQ(pieces.size(), 2u);
    EXPECT_EQ(pieces[0].size(), static_cast<std::size_t>(PIPE_BUF));
    EXPECT_EQ(pieces[0].back(), '\n');
}

}  // namespace
}  // namespace zerosim::cli
