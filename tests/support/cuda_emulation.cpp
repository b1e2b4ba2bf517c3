#include "support/cuda_emulation.hpp"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace zerosim::emulation {
namespace {

constexpr std::size_t kStack = 256 * 1024;
constexpr unsigned kWarpLanes = 32;
// CUDA Programming Guide, "Compute Capabilities": of every device since 7.0, but for shared memory, which is an H100's and H200's.
constexpr unsigned kMostBlocks = 0x7fffffff, kMostRows = 65535, kMostThreads = 1024, kMostShared = 227 * 1024;
constexpr std::size_t kGuard = 256;                        // bytes behind the shared memory that was asked for
constexpr unsigned char kGuardByte = 0xa5;
constexpr unsigned char kNotWritten = 0xff;                // NaN as fp32, fp64, bf16 and fp16

struct Barrier {
    unsigned arrived = 0, generation = 0;
};

struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
};

struct Fiber {
    ucontext_t context{};
    unsigned index = 0;
    bool done = false;
    std::vector<Copy> copies;                  // started and not awaited
};

/// One block in flight; kernels are run from one OS thread at a time.
struct Block {
    Place place;
    std::vector<Fiber> fibers;
    // Two sets of words by thread, used in turn: a lane reads one while others may already write the other.
    std::array<std::vector<std::uint64_t>, 2> words;
    std::vector<unsigned> turns;               // by thread
    std::vector<Barrier> warps;
    Barrier block;
    std::vector<unsigned char> shared;
    unsigned votes = 0;                        // of any_of_block
    std::exception_ptr error;                  // of the fiber that ended the block
    const std::function<void()>* body = nullptr;
    ucontext_t scheduler{};
    Fiber* running = nullptr;
};
thread_local Block* current = nullptr;
/// Kept from launch to launch: fresh ones would be mapped and cleared for every thread of every launch.
thread_local std::vector<std::unique_ptr<unsigned char[]>> stacks;

unsigned threads() { return static_cast<unsigned>(current->fibers.size()); }

void yield() {
    Fiber* const self = current->running;
    swapcontext(&self->context, &current->scheduler);
}

void wait(Barrier& barrier, unsigned members) {
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == members) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    while (barrier.generation == generation) yield();
}

void enter() {
    try {
        (*current->body)();
    } catch (...) {
        current->error = std::current_exception();
    }
    current->running->done = true;
    swapcontext(&current->running->context, &current->scheduler);
}

void start(Fiber& fiber, unsigned index) {
    fiber.index = index;
    fiber.done = false;
    if (stacks.size() <= index) stacks.push_back(std::make_unique_for_overwrite<unsigned char[]>(kStack));
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks[index].get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
}

void run_block(Block& block) {
    std::fill(block.shared.begin(), block.shared.end() - kGuard, kNotWritten);   // nothing is left of the block before
    for (unsigned i = 0; i < threads(); ++i) start(block.fibers[i], i);
    for (bool left = true; left;) {
        left = false;
        for (Fiber& fiber : block.fibers) {
            if (fiber.done) continue;
            left = true;
            block.running = &fiber;
            block.place.thread.x = fiber.index;
            swapcontext(&block.scheduler, &fiber.context);
            if (block.error) std::rethrow_exception(block.error);
        }
    }
    for (std::size_t i = block.shared.size() - kGuard; i < block.shared.size(); ++i)
        if (block.shared[i] != kGuardByte) throw std::logic_error("a block wrote beyond the shared memory that its launch asked for");
    for (const Fiber& fiber : block.fibers)
        if (!fiber.copies.empty()) throw std::logic_error("a thread ended before its asynchronous copies: the block's memory may be another's when they come");
    if (block.block.arrived != 0) throw std::logic_error("a thread left its block while others waited at __syncthreads");
}

}  // namespace

const Place& place() { return current->place; }
unsigned char* shared_memory() { return current->shared.data(); }
void block_barrier() { wait(current->block, threads()); }

bool any_of_block(bool mine) {
    if (mine) ++current->votes;
    block_barrier();
    const bool any = current->votes != 0;
    block_barrier();
    current->votes = 0;
    block_barrier();                           // the next vote begins when all have read and cleared this one
    return any;
}

void check_aligned(const void* address, std::uintptr_t bytes) {
    if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) throw std::logic_error("misaligned address: an access of " + std::to_string(bytes) + " bytes");
}

void copy_later(void* to, const void* from, std::size_t bytes) {
    std::memset(to, kNotWritten, bytes);
    current->running->copies.push_back({to, from, bytes});
}
void finish_copies() {
    for (const Copy& copy : current->running->copies) {
        if (copy.from == nullptr) std::memset(copy.to, 0, copy.bytes);
        else std::memcpy(copy.to, copy.from, copy.bytes);
    }
    current->running->copies.clear();
}

const std::uint64_t* show(std::initializer_list<std::uint64_t> mine) {
    const unsigned thread = current->place.thread.x, warp = thread / kWarpLanes, first = warp * kWarpLanes;
    std::vector<std::uint64_t>& words = current->words[current->turns[thread]++ % 2];
    std::copy(mine.begin(), mine.end(), words.begin() + thread * kLaneWords);
    wait(current->warps[warp], std::min(kWarpLanes, threads() - first));
    return words.data() + first * kLaneWords;
}

void run(unsigned blocks, unsigned rows, unsigned thread_count, unsigned shared_bytes, const std::function<void()>& body) {
    if (blocks > kMostBlocks || rows > kMostRows || thread_count == 0 || thread_count > kMostThreads || shared_bytes > kMostShared)
        throw std::logic_error("a GPU refuses this launch: " + std::to_string(blocks) + " x " + std::to_string(rows) + " blocks of " + std::to_string(thread_count) + " threads, " +
                               std::to_string(shared_bytes) + " bytes of shared memory");
    Block block;
    block.fibers.resize(thread_count);
    for (auto& words : block.words) words.resize(thread_count * kLaneWords);
    block.turns.resize(thread_count);
    block.warps.resize((thread_count + kWarpLanes - 1) / kWarpLanes);
    block.shared.resize(shared_bytes + kGuard, kGuardByte);
    block.body = &body;
    block.place.block_size.x = thread_count;
    block.place.grid_size = {blocks, rows, 1};
    current = &block;
    for (unsigned y = 0; y < rows; ++y)
        for (unsigned x = 0; x < blocks; ++x) {
            block.place.block = {x, y, 0};
            run_block(block);
        }
    current = nullptr;
}

}  // namespace zerosim::emulation
