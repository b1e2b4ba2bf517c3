// One list of fields for both directions: a struct's `fields(archive, value)` names each key once, and a Writer or a Reader walks it.
// Used by the JSON of report/.
// Knows strings, numbers, booleans and vectors of them; roles go by name.
#pragma once

#include "schedule/tensor.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace zerosim::report {

struct Writer {
    nlohmann::ordered_json& object;
    template <class T>
    void operator()(const char* key, const T& value) { object[key] = value; }
    void operator()(const char* key, const schedule::Role& role) { object[key] = name(role); }
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
};

}  // namespace zerosim::report
