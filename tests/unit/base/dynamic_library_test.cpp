#include "base/dynamic_library.hpp"

#include <gtest/gtest.h>

namespace zerosim::test {
namespace {

// Part of glibc, and nothing here links it: loaded by this test or not at all.
constexpr const char* kLibrary = "libanl.so.1";
bool is_loaded() { return ::dlopen(kLibrary, RTLD_NOW | RTLD_NOLOAD) != nullptr; }

// ncclGetUniqueId leaves a thread behind that waits for the ranks: were NCCL unloaded with the object that found the function, the first rank
// to connect would end the process.
TEST(DynamicLibrary, StaysLoadedForItsThreads) {
    if (is_loaded()) GTEST_SKIP() << kLibrary << " is loaded already";
    void (*function)() = nullptr;
    try {
        const DynamicLibrary library("", kLibrary);
        library.find_optional("no_such_function", function);
    } catch (const EnvironmentError& error) {
        GTEST_SKIP() << error.what();                    // another C library
    }
    EXPECT_EQ(function, nullptr);
    EXPECT_TRUE(is_loaded());
}

TEST(DynamicLibrary, SaysWhatIsMissing) {
    EXPECT_THROW(DynamicLibrary("/nowhere", "libzerosim_has_no_such.so.1"), EnvironmentError);
}

}  // namespace
}  // namespace zerosim::test
