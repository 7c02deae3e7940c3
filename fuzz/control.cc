// Any bytes as a command, as a line of an answer, as a status; what is accepted says the same again when it is encoded.
#include "base/check.h"
#include "control/answer.h"
#include "control/command.h"
#include "control/view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mars::control;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto command = decode_command(text)) {
    CHECK(decode_command(encode(*command)) == *command);
    if (auto checked = check_command(*command)) CHECK(check_command(*checked) == *checked);
  }
  if (auto line = decode_line(text)) {
    CHECK(decode_line(std::visit([](const auto& value) { return encode(value); }, *line)) == *line);
  }
  if (auto view = cluster_view_from_json(text)) CHECK(cluster_view_from_json(to_json(*view)) == *view);
  return 0;
}
