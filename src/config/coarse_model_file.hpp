// Models known by groups of parameters and rules of activations: [group.NAME] and [rule.NAME] sections of a .cfg with family = coarse.
// Called by the reader of presets.
// Knows no layers; docs/models.md tells the form.
#pragma once

#include "config/ini.hpp"
#include "config/model_file.hpp"

namespace zerosim::config {

[[nodiscard]] bool is_coarse(const IniFile& file);
void read_coarse(LoadedModel& loaded, const IniFile& file);

}  // namespace zerosim::config
