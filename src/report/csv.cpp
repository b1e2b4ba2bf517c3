#include "report/csv.hpp"

#include "report/json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace zerosim::report {
namespace {

using Json = nlohmann::ordered_json;

class Sheet {
public:
    void begin_line() { lines_.emplace_back(columns_.size()); }
    void set(const std::string& column, std::string text) {
        const auto [at, fresh] = positions_.try_emplace(column, columns_.size());
        if (fresh) columns_.push_back(column);
        if (lines_.back().size() <= at->second) lines_.back().resize(columns_.size());
        lines_.back()[at->second] = std::move(text);
    }
    [[nodiscard]] std::string text() const {
        std::string out = line(columns_, columns_.size());
        for (const auto& fields : lines_) out += line(fields, columns_.size());
        return out;
    }

private:
    static std::string quoted(const std::string& field) {
        if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
        std::string out = "\"";
        for (const char c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
        return out + '"';
    }
    static std::string line(const std::vector<std::string>& fields, std::size_t width) {
        std::string out;
        for (std::size_t i = 0; i < width; ++i) {
            if (i > 0) out += ',';
            if (i < fields.size()) out += quoted(fields[i]);
        }
        return out + '\n';
    }
    std::vector<std::string> columns_;
    std::unordered_map<std::string, std::size_t> positions_;
    std::vector<std::vector<std::string>> lines_;
};

void flatten(Sheet& sheet, const Json& value, const std::string& path) {
    if (value.is_object()) {
        for (const auto& [key, child] : value.items()) flatten(sheet, child, path.empty() ? key : path + '.' + key);
    } else if (!value.is_array()) {
        sheet.set(path, value.is_string() ? value.get<std::string>() : value.dump());
    }
}

}  // namespace

std::string render_csv(std::span<const analysis::RunReport> reports) {
    Sheet sheet;
    for (const analysis::RunReport& report : reports) {
        sheet.begin_line();
        Json root = Json::parse(render_json(report));
        for (const char* list : {"training", "ranks"}) root.erase(list);
        const Json collectives = root["communication"]["collectives"], parts = root["breakdown"];
        flatten(sheet, root, "");
        for (const Json& part : parts)
            sheet.set("breakdown." + part["group"].get<std::string>() + '.' + part["name"].get<std::string>() + ".seconds", part["seconds"].dump());
        for (Json row : collectives) {
            const std::string name = row["kind"].get<std::string>() + '.' + row["axis"].get<std::string>() + '.' + row["phase"].get<std::string>();
            for (const char* key : {"kind", "axis", "phase"}) row.erase(key);
            flatten(sheet, row, "communication." + name);
        }
    }
    return sheet.text();
}

}  // namespace zerosim::report
