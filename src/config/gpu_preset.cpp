#include "config/gpu_preset.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace zerosim::config {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// "NVIDIA GeForce RTX 4090" -> "nvidia-geforce-rtx4090": as presets write names.
std::string as_presets_do(const std::string& name) {
    constexpr std::string_view kPrefix = "rtx-";
    std::string text;
    for (const char c : name) {
        if (is_digit(c) && text.ends_with(kPrefix)) text.pop_back();
        text += c == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return text;
}

/// "h200-sxm" -> "h200", "rtx-pro-6000-pcie" -> "rtx-pro-6000": to the first word with a digit.
std::string model_of(const std::string& preset) {
    const auto digit = std::find_if(preset.begin(), preset.end(), is_digit);
    return {preset.begin(), std::find(digit, preset.end(), '-')};
}

bool has_words(const std::string& text, const std::string& words) {
    const std::size_t at = text.find(words);
    if (at == std::string::npos) return false;
    const std::size_t end = at + words.size();
    return (at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]));
}

}  // namespace

std::optional<std::string> preset_of_gpu(const std::string& name, const std::vector<std::string>& presets) {
    const std::string device = as_presets_do(name);
    const std::string wiring = device.find("pcie") != std::string::npos ? "pcie" : device.find("nvl") != std::string::npos ? "nvl" : "sxm";
    std::optional<std::string> found;
    int best = -1;
    for (const std::string& preset : presets) {
        if (!has_words(device, model_of(preset))) continue;
        const std::string last = preset.substr(preset.rfind('-') + 1);   // "80gb" where a model comes with several
        const int score = (preset.find(wiring) != std::string::npos ? 2 : 0) + (has_words(device, last) ? 1 : 0);
        if (score <= best) continue;
        best = score;
        found = preset;
    }
    return found;
}

}  // namespace zerosim::config
