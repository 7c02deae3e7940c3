// Small JSON files of this host: whole, atomic, bounded. For the .cc files of this folder only.
#pragma once

#include <string>

#include "control/json_fields.h"
#include "io/machine.h"

namespace mars::node {

using control::Fields;
using control::Json;

inline constexpr size_t json_file_bytes_max = 4u << 20;

// not_found: no such file; damaged: it is not what we write.
Task<Result<Json>> read_json(io::Machine& machine, std::string path);

Task<Status> write_json(io::Machine& machine, std::string path, Json json);

Task<Status> write_text_file(io::Machine& machine, std::string path, std::string text, bool is_secret);

Task<Result<std::string>> read_text_file(io::Machine& machine, std::string path);

}  // namespace mars::node
