#include "device/driver_memory.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace zerosim::device {
namespace {

/// A driver whose figure the test moves.
struct Driver {
    std::int64_t used = 0;
    DriverLedger ledger(std::int64_t before) {
        return {[this] { return used; }, before};
    }
};

TEST(DriverLedger, EveryStepsGrowthIsNamedAndTheRestIsOther) {
    Driver driver{1000};
    DriverLedger ledger = driver.ledger(1000);
    driver.used += 500;
    ledger.context_made();
    ledger.during(DriverPart::pools, [&] { driver.used += 8000; });
    ledger.during(DriverPart::communicators, [&] { driver.used += 60; });
    ledger.during(DriverPart::communicators, [&] { driver.used += 40; });
    EXPECT_EQ(ledger.during(DriverPart::libraries, [&] { return driver.used += 32; }), 9632);
    driver.used += 7;                                    // kernels' code, at their first launch
    ledger.settle();
    ledger.finish();
    const DriverMemory& m = ledger.memory();
    EXPECT_EQ(m.part(DriverPart::context), 500);
    EXPECT_EQ(m.part(DriverPart::pools), 8000);
    EXPECT_EQ(m.part(DriverPart::communicators), 100);
    EXPECT_EQ(m.part(DriverPart::libraries), 32);
    EXPECT_EQ(m.other(), 7);
    EXPECT_EQ(m.growth(), 0);
    EXPECT_EQ(m.named() + m.other(), m.at_end);
}

TEST(DriverLedger, WhatGrowsAfterwardsLeaks) {
    Driver driver{0};
    DriverLedger ledger = driver.ledger(0);
    ledger.settle();
    driver.used += 2 << 20;
    ledger.finish();
    EXPECT_EQ(ledger.memory().growth(), 2 << 20);
}

TEST(DriverLedger, WithoutAFigureBeforeTheContextHoldsWhatOthersHaveToo) {
    Driver driver{700};
    DriverLedger ledger = driver.ledger(-1);
    driver.used += 500;
    ledger.context_made();
    ledger.settle();
    EXPECT_EQ(ledger.memory().part(DriverPart::context), 1200);
    EXPECT_EQ(ledger.memory().other(), 0);
}

TEST(DriverLedger, ADriverThatDoesNotTellLeavesEverythingUnknown) {
    DriverLedger ledger([] { return std::int64_t{-1}; }, -1);
    ledger.context_made();
    ledger.during(DriverPart::pools, [] {});
    ledger.settle();
    ledger.finish();
    EXPECT_FALSE(ledger.memory().measured());
    EXPECT_EQ(ledger.memory().part(DriverPart::pools), 0);
    EXPECT_EQ(ledger.memory().other(), 0);
}

TEST(DriverLedger, CountsWhatWasMadeBeforeAnException) {
    Driver driver{0};
    DriverLedger ledger = driver.ledger(0);
    EXPECT_THROW(ledger.during(DriverPart::communicators, [&] {
        driver.used += 12;
        throw std::runtime_error("a rank is missing");
    }),
                 std::runtime_error);
    EXPECT_EQ(ledger.memory().part(DriverPart::communicators), 12);
}

}  // namespace
}  // namespace zerosim::device
