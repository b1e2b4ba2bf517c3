#include "support/cuda_emulation.hpp"

#include <ucontext.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <vector>

namespace zerosim::emulation {
namespace {

constexpr std::size_t kStack = 256 * 1024;
constexpr unsigned kWarpLanes = 32;

struct Barrier {
    unsigned arrived = 0, generation = 0;
};

struct Fiber {
    ucontext_t context{};
    std::unique_ptr<unsigned char[]> stack;
    unsigned index = 0;
    bool done = false;
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
    const std::function<void()>* body = nullptr;
    ucontext_t scheduler{};
    Fiber* running = nullptr;
};
thread_local Block* current = nullptr;

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
    (*current->body)();
    current->running->done = true;
    swapcontext(&current->running->context, &current->scheduler);
}

void run_block(Block& block) {
    for (unsigned i = 0; i < threads(); ++i) {
        Fiber& fiber = block.fibers[i];
        fiber.index = i;
        fiber.done = false;
        if (!fiber.stack) fiber.stack = std::make_unique<unsigned char[]>(kStack);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = kStack;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
    }
    for (bool left = true; left;) {
        left = false;
        for (Fiber& fiber : block.fibers) {
            if (fiber.done) continue;
            left = true;
            block.running = &fiber;
            block.place.thread.x = fiber.index;
            swapcontext(&block.scheduler, &fiber.context);
        }
    }
    if (block.block.arrived != 0) throw std::logic_error("a thread left its block while others waited at __syncthreads");
}

}  // namespace

const Place& place() { return current->place; }
unsigned char* shared_memory() { return current->shared.data(); }
void block_barrier() { wait(current->block, threads()); }

const std::uint64_t* show(std::initializer_list<std::uint64_t> mine) {
    const unsigned thread = current->place.thread.x, warp = thread / kWarpLanes, first = warp * kWarpLanes;
    std::vector<std::uint64_t>& words = current->words[current->turns[thread]++ % 2];
    std::copy(mine.begin(), mine.end(), words.begin() + thread * kLaneWords);
    wait(current->warps[warp], std::min(kWarpLanes, threads() - first));
    return words.data() + first * kLaneWords;
}

void run(unsigned blocks, unsigned rows, unsigned thread_count, unsigned shared_bytes, const std::function<void()>& body) {
    Block block;
    block.fibers.resize(thread_count);
    for (auto& words : block.words) words.resize(thread_count * kLaneWords);
    block.turns.resize(thread_count);
    block.warps.resize((thread_count + kWarpLanes - 1) / kWarpLanes);
    block.shared.resize(shared_bytes);
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
