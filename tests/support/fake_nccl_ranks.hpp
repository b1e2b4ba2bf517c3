// What a communicator of the tests' NCCL is: its ranks' meeting place in shared memory, its state as a program may ask for it, and the one way in which
// data moves: every rank shows its own piece, all read.
// Used by fake_nccl.cpp alone.
// Knows no collective.
#pragma once

#include <nccl.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zerosim::fake {

inline constexpr int kMostRanks = 16;
inline constexpr std::size_t kPiece = 64 * 1024;

struct Member {
    char host[64], bus[32];
    int colour, key;
    char call[64];                                         // the collective it is in
};
/// What the ranks of a communicator share; a new file is all zeros, which is where it begins.
struct Shared {
    std::atomic<int> attached, aborted;
    std::atomic<unsigned> arrived, generation;
    std::array<Member, kMostRanks> members;
    std::array<std::array<char, kPiece>, kMostRanks> slots;
};

/// A split that is on its way.
struct Pending {
    ncclComm_t* target = nullptr;
    ncclComm_t child = nullptr;
    Shared* meeting = nullptr;
    std::string name;
    int colour = 0, key = 0, blocking = 1;
};

[[nodiscard]] std::string& last_error();
[[nodiscard]] ncclResult_t refused(ncclResult_t status, const std::string& why);

/// NCCL asks the driver; here the driver is tests/support/fake_cudart in the program, if it exports its symbols.
[[nodiscard]] void* symbol_of_program(const char* name);
[[nodiscard]] bool is_device_memory(const void* data, std::size_t bytes);

[[nodiscard]] Shared* open_shared(const std::string& name);
void unlink_shared(const std::string& name);
/// This rank has come, with its host and GPU.
void attach(ncclComm& comm);
/// One look at what goes on in the background.
void poll(ncclComm& comm);
/// Success, or why the communicator cannot be used now.
[[nodiscard]] ncclResult_t ready(ncclComm_t comm);

using Consume = std::function<void(std::size_t at, std::size_t bytes)>;
/// Every rank shows `bytes` of its own piece by piece (`mine` may be null); `consume` reads what all have shown. Refuses ranks in different calls.
[[nodiscard]] ncclResult_t exchange(ncclComm& comm, const char* mine, std::size_t bytes, const std::string& call, const Consume& consume);
[[nodiscard]] const char* shown(const ncclComm& comm, int rank);

}  // namespace zerosim::fake

struct ncclComm {
    zerosim::fake::Shared* shared = nullptr;
    std::string name;
    int rank = 0, ranks = 1, blocking = 1, splits = 0;
    ncclResult_t state = ncclInProgress;
    int polls = 0;
    bool finalized = false, logged = false;
    std::unique_ptr<zerosim::fake::Pending> split;
    std::vector<void*> registered;
};
