#include "base/units.hpp"
#include "base/log.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace zerosim {
namespace {

TEST(Format, SizesAreBinaryRatesDecimal) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(512), "512 B");
    EXPECT_EQ(format_bytes(1536), "1.50 KiB");
    EXPECT_EQ(format_bytes(1.5 * 0x1p30), "1.50 GiB");
    EXPECT_EQ(format_bytes(123.4 * 0x1p20), "123 MiB");
    EXPECT_EQ(format_rate(1.5e9), "1.50 GB/s");
    EXPECT_EQ(format_flops(989.4e12), "989 TFLOP/s");
}

TEST(Format, RoundingNeverShowsAThousandOfAUnit) {
    EXPECT_EQ(format_bytes(1023.9), "1.00 KiB");
    EXPECT_EQ(format_seconds(0.9999), "1.00 s");
    EXPECT_EQ(format_seconds(9.999e-3), "10.0 ms");
}

TEST(Format, TimesAndCounts) {
    EXPECT_EQ(format_seconds(0), "0 s");
    EXPECT_EQ(format_seconds(12.34e-3), "12.3 ms");
    EXPECT_EQ(format_seconds(4.5e-6), "4.50 us");
    EXPECT_EQ(format_count(124439808), "124,439,808");
    EXPECT_EQ(format_count(-1234), "-1,234");
    EXPECT_EQ(format_count(999), "999");
}

TEST(Parse, IntegersAlsoInScientificFormButNotFractionsOrRests) {
    EXPECT_EQ(parse_integer("5e8"), 500000000);
    EXPECT_EQ(parse_integer("-4"), -4);
    EXPECT_EQ(parse_integer("9223372036854775807"), 9223372036854775807);
    for (const char* bad : {"", "1.5", "15e-1", "4x", " 4", "0x10", "nan", "1e30"})
        EXPECT_EQ(parse_integer(bad), std::nullopt) << bad;
}

TEST(Parse, RealsAreFinite) {
    EXPECT_EQ(parse_real("1e-3"), 1e-3);
    for (const char* bad : {"inf", "nan", "1e999", "1,5", ""}) EXPECT_EQ(parse_real(bad), std::nullopt) << bad;
}

TEST(Parse, SizesBinaryWithoutBAndDecimalWithIt) {
    EXPECT_EQ(parse_bytes("4096"), 4096);
    EXPECT_EQ(parse_bytes("128M"), 128 << 20);
    EXPECT_EQ(parse_bytes("128MiB"), 128 << 20);
    EXPECT_EQ(parse_bytes("128MB"), 128000000);
    EXPECT_EQ(parse_bytes("1.5 GiB"), 3 << 29);
    for (const char* bad : {"-1M", "M", "12Q", ""}) EXPECT_EQ(parse_bytes(bad), std::nullopt) << bad;
}

TEST(Log, NamesTheRankOnlyAmongSeveral) {
    std::vector<std::string> lines;
    const auto sink = [&](std::string_view line) { lines.emplace_back(line); };
    Log({}, sink).warning("low memory");
    Log({3, 8, "node-a"}, sink).error("lost");
    EXPECT_EQ(lines, (std::vector<std::string>{"zerosim: warning: low memory", "zerosim: [rank 3/8 node-a] error: lost"}));
}

} // namespace
} // namespace zerosim
