// Families of transformers by the name that transformers gives them (model_type): which features of model::Model each has.
// Used by config/ when it reads a preset or a config.json; sizes come from the file.
// Holds no sizes, but the family's own constants.
#pragma once

#include "model/model.hpp"

#include <span>
#include <string>
#include <string_view>

namespace zerosim::model {

/// Every name that `set_family` takes.
[[nodiscard]] std::span<const std::string_view> family_names();
/// Sets the features of family `name`; false if there is none of that name.
[[nodiscard]] bool set_family(Model& model, std::string_view name);
/// The family's name as transformers has it.
[[nodiscard]] std::string family_name(const Model& model);
/// The first feature of the model that plain gpt2 and llama do not have, in words; "" if it has none.
[[nodiscard]] std::string beyond_basic(const Model& model);

}  // namespace zerosim::model
