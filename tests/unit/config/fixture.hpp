// What the tests of config/ share: requests, temporary files, and errors as text.
#pragma once

#include "base/error.hpp"
#include "config/resolve.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

namespace zerosim::config {

inline SearchPaths shipped() { return {{ZEROSIM_SOURCE_DIR "/configs"}}; }

inline Resolved resolve_words(std::vector<std::string> words, std::map<std::string, std::string> environment = {},
                              Command command = Command::run, Machine machine = {}) {
    return resolve(Request{command, std::move(words), std::move(environment)}, shipped(), machine);
}

inline Value value_of(const Resolved& resolved, const std::string& key) {
    for (const Value& value : resolved.values) {
        if (value.key == key) return value;
    }
    ADD_FAILURE() << "no value " << key;
    return {};
}

/// The text of the ConfigError that `action` throws.
template <class Action>
std::string config_error(Action&& action) {
    try {
        action();
    } catch (const ConfigError& error) {
        return error.what();
    }
    ADD_FAILURE() << "no ConfigError";
    return {};
}

/// A folder of its own, removed at the end.
class Folder : public ::testing::Test {
protected:
    void SetUp() override {
        const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
        folder_ =
            std::filesystem::temp_directory_path() / (std::string("zerosim-config-") + info->name() + std::to_string(::getpid()));
        std::filesystem::create_directories(folder_);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::string write(const std::string& name, const std::string& text) {
        std::filesystem::create_directories((folder_ / name).parent_path());
        std::ofstream(folder_ / name, std::ios::binary) << text;
        return (folder_ / name).string();
    }
    std::filesystem::path folder_;
};

} // namespace zerosim::config
