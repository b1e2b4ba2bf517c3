// Runs a body on every rank of a local world, a thread each.
#pragma once

#include "comm/local_communicator.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace zerosim::comm::contract {

inline void run_local(int ranks, const std::function<void(Communicator&, ControlChannel&)>& body) {
    const LocalWorld world(ranks);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
        threads.emplace_back([&, rank] {
            const auto communicator = world.communicator(rank);
            const auto control = world.control(rank);
            try {
                body(*communicator, *control);
            } catch (const std::exception& error) {
                ADD_FAILURE() << "rank " << rank << ": " << error.what();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

} // namespace zerosim::comm::contract
