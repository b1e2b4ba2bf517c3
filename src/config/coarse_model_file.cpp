#include "config/coarse_model_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>

namespace zerosim::config {
namespace {

using model::ActivationRule;
using model::ParameterGroup;

/// "4096 x 640 x 2.5": the product of its factors.
double product_of(const IniFile& file, const IniEntry& entry) {
    double product = 1;
    std::string_view rest = entry.value;
    for (;;) {
        const std::size_t end = rest.find('x');
        std::string factor(rest.substr(0, end));
        std::erase(factor, ' ');
        const auto value = parse_real(factor);
        if (!value || *value < 0) throw ConfigError(fmt::format("{}: '{}' is no product of numbers such as 4096 x 640", file.place(entry), entry.value));
        product *= *value;
        if (end == std::string_view::npos) return product;
        rest.remove_prefix(end + 1);
    }
}

bool boolean_of(const IniFile& file, const IniEntry& entry) {
    const auto value = parse_boolean(entry.value);
    if (!value) throw ConfigError(fmt::format("{}: '{}' is not true or false", file.place(entry), entry.value));
    return *value;
}

std::int64_t count_of(const IniFile& file, const IniEntry& entry) {
    const double value = product_of(file, entry);
    if (value < 1 || value > 9e15) throw ConfigError(fmt::format("{}: {} is no count", file.place(entry), entry.value));
    return static_cast<std::int64_t>(value);
}

DType dtype_of(const IniFile& file, const IniEntry& entry) {
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16, DType::uint8})
        if (name(type) == entry.value) return type;
    throw ConfigError(fmt::format("{}: dtype '{}' is not one of fp32, bf16, fp16, uint8", file.place(entry), entry.value));
}

/// The section's object, made at its first key.
template <class T>
T& named(std::vector<T>& all, const std::string& name) {
    const auto found = std::ranges::find(all, name, &T::name);
    if (found != all.end()) return *found;
    T& made = all.emplace_back();
    made.name = name;
    return made;
}

template <class T>
using Setters = std::map<std::string, std::function<void(T&, const IniFile&, const IniEntry&)>>;

template <class T>
void set(T& object, const Setters<T>& setters, const std::string& key, const IniFile& file, const IniEntry& entry) {
    const auto found = setters.find(key);
    if (found != setters.end()) return found->second(object, file, entry);
    std::vector<std::string> keys;
    for (const auto& [known, setter] : setters) keys.push_back(known);
    throw ConfigError(fmt::format("{}: unknown key '{}'{}", file.place(entry), entry.key, did_you_mean(key, keys)));
}

const Setters<ParameterGroup>& group_setters() {
    static const Setters<ParameterGroup> setters{
        {"parameters", [](auto& g, const auto& file, const auto& entry) { g.parameters = count_of(file, entry); }},
        {"trainable", [](auto& g, const auto& file, const auto& entry) { g.trainable = boolean_of(file, entry); }},
        {"blocks", [](auto& g, const auto& file, const auto& entry) { g.blocks = count_of(file, entry); }},
        {"frozen-dtype", [](auto& g, const auto& file, const auto& entry) { g.frozen_dtype = dtype_of(file, entry); }},
    };
    return setters;
}

const Setters<ActivationRule>& rule_setters() {
    static const Setters<ActivationRule> setters{
        {"group", [](auto& r, const auto&, const auto& entry) { r.group = entry.value; }},
        {"elements", [](auto& r, const auto& file, const auto& entry) { r.elements = product_of(file, entry); }},
        {"bytes", [](auto& r, const auto& file, const auto& entry) { r.bytes = count_of(file, entry); }},
        {"copies", [](auto& r, const auto& file, const auto& entry) { r.copies = count_of(file, entry); }},
        {"saved", [](auto& r, const auto& file, const auto& entry) { r.saved = boolean_of(file, entry); }},
        {"flops", [](auto& r, const auto& file, const auto& entry) { r.flops = product_of(file, entry); }},
    };
    return setters;
}

void check_complete(const model::Coarse& coarse, const std::string& place) {
    if (coarse.groups.empty()) throw ConfigError(fmt::format("{}: a coarse model needs at least one [group.NAME]", place));
    for (const ParameterGroup& group : coarse.groups)
        if (group.parameters < 1) throw ConfigError(fmt::format("{}: group '{}' has no parameters", place, group.name));
    for (const ActivationRule& rule : coarse.rules)
        if (std::ranges::find(coarse.groups, rule.group, &ParameterGroup::name) == coarse.groups.end())
            throw ConfigError(fmt::format("{}: rule '{}' belongs to group '{}', which the file does not have", place, rule.name, rule.group));
}

}  // namespace

bool is_coarse(const IniFile& file) {
    return std::ranges::any_of(file.entries, [](const IniEntry& entry) { return entry.key == "model.family" && entry.value == "coarse"; });
}

void read_coarse(LoadedModel& loaded, const IniFile& file) {
    model::Model& m = loaded.model;
    for (const IniEntry& entry : file.entries) {
        if (entry.key == "model.family") continue;
        const std::size_t dot = entry.key.find('.'), last = entry.key.rfind('.');
        const std::string section = entry.key.substr(0, dot);
        const bool named_section = last != dot;
        const std::string name = named_section ? entry.key.substr(dot + 1, last - dot - 1) : "", key = entry.key.substr(last + 1);
        if (section == "group" && named_section) set(named(m.coarse.groups, name), group_setters(), key, file, entry);
        else if (section == "rule" && named_section) set(named(m.coarse.rules, name), rule_setters(), key, file, entry);
        else throw ConfigError(fmt::format("{}: '{}': a coarse model has [group.NAME] and [rule.NAME] sections", file.place(entry), entry.key));
    }
    check_complete(m.coarse, file.name);
    m.layers = static_cast<std::int64_t>(m.coarse.groups.size());
    m.positions = 1;   // a sample, whatever it holds, counts as one token
    m.hidden = m.vocabulary = m.real_vocabulary = 0;   // it has no such sizes
    m.heads = m.kv_heads = m.head_dim = 1;
}

}  // namespace zerosim::config
