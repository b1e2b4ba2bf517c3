// A config.json of the families with rotary positions: llama, mistral, qwen, gemma, phi, mixtral, deepseek.
// Called by import_huggingface() after model::set_family().
// Does not complete or check what follows from the rest: see complete().
#pragma once

#include "config/json_keys.hpp"
#include "config/model_file.hpp"

namespace zerosim::config {

void import_decoder(const JsonKeys& keys, const std::string& type, LoadedModel& loaded);

}  // namespace zerosim::config
