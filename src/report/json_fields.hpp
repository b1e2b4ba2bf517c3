// One list of fields for both directions: a struct's `fields(archive, value)` names each key once, and a Writer or a Reader walks it.
// Used by the JSON of report/.
// Knows strings, numbers, booleans, vectors and maps of them, and objects inside; roles go by name.
#pragma once

#include "schedule/memory.hpp"
#include "schedule/tensor.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace zerosim::report {

struct Writer {
    nlohmann::ordered_json& object;
    template <class T>
    void operator()(const char* key, const T& value) { object[key] = value; }
    void operator()(const char* key, const schedule::Role& role) { object[key] = name(role); }
    void operator()(const char* key, const schedule::RoleBytes& bytes) {
        nlohmann::ordered_json& roles = object[key] = nlohmann::ordered_json::object();
        for (std::size_t role = 0; role < bytes.size(); ++role) roles[std::string(name(static_cast<schedule::Role>(role)))] = bytes[role];
    }
    template <class T>
    void if_there(const char* key, const T& value) { object[key] = value; }
    Writer inside(const char* key) { return {object[key]}; }
};

struct Reader {
    const nlohmann::ordered_json& object;
    template <class T>
    void operator()(const char* key, T& value) { object.at(key).get_to(value); }
    void operator()(const char* key, schedule::Role& role) {
        const auto text = object.at(key).get<std::string>();
        for (std::size_t i = 0; i < static_cast<std::size_t>(schedule::Role::count_); ++i)
            if (name(static_cast<schedule::Role>(i)) == text) role = static_cast<schedule::Role>(i);
    }
    void operator()(const char* key, schedule::RoleBytes& bytes) {
        for (std::size_t role = 0; role < bytes.size(); ++role)
            bytes[role] = object.at(key).value(std::string(name(static_cast<schedule::Role>(role))), std::int64_t{0});
    }
    /// A field that older results do not have keeps its value.
    template <class T>
    void if_there(const char* key, T& value) {
        if (const auto found = object.find(key); found != object.end()) found->get_to(value);
    }
    Reader inside(const char* key) { return {object.at(key)}; }
};

}  // namespace zerosim::report
