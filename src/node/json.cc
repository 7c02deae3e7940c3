#include "node/json.h"

#include "base/bytes.h"

namespace mars::node {

Task<Result<Json>> read_json(io::Machine& machine, std::string path) {
  Result<io::Bytes> bytes = co_await machine.storage().read_file(path, json_file_bytes_max);
  if (!bytes) co_return failure(bytes.error());
  Result<Json> json = control::parse_object(text_of(*bytes), json_file_bytes_max);
  if (!json) co_return failure(Status::damaged, path + " is damaged: " + json.error().text);
  co_return std::move(*json);
}

Task<Status> write_text_file(io::Machine& machine, std::string path, std::string text, bool is_secret) {
  const ByteView view = bytes_of(text);
  io::Bytes bytes(view.begin(), view.end());
  co_return co_await machine.storage().write_file(std::move(path), std::move(bytes), is_secret);
}

Task<Status> write_json(io::Machine& machine, std::string path, Json json) {
  std::string text = control::write_json(json) + "\n";
  co_return co_await write_text_file(machine, std::move(path), std::move(text), true);
}

Task<Result<std::string>> read_text_file(io::Machine& machine, std::string path) {
  Result<io::Bytes> bytes = co_await machine.storage().read_file(path, json_file_bytes_max);
  if (!bytes) co_return failure(bytes.error());
  co_return std::string(text_of(*bytes));
}

}  // namespace mars::node
