#include "control/answer.h"

#include "control/json_fields.h"

namespace mars::control {

Answer Answer::of(const Error& error, std::string next_step) {
  return {exit_code_of(error.status), error.text, std::move(next_step), {}};
}

std::string encode(const Progress& progress) {
  Json json = {{"progress", {{"text", progress.text}, {"done", progress.done}, {"total", progress.total}}}};
  return write_json(json);
}

std::string encode(const Answer& answer) {
  Json body = {{"exit_code", static_cast<unsigned>(answer.code)},
               {"outcome", std::string(name(answer.code))},
               {"text", answer.text},
               {"next_step", answer.next_step}};
  if (!answer.data.empty()) {
    Json data = parse_or_null(answer.data);
    if (!data.is_null()) body["data"] = std::move(data);
  }
  return write_json(Json{{"answer", std::move(body)}});
}

namespace {

Result<std::variant<Progress, Answer>> decode_progress(const Json& json) {
  Fields fields(json);
  Progress progress;
  fields.get("text", progress.text);
  fields.get("done", progress.done);
  fields.get("total", progress.total);
  if (!fields.ok()) return failure(Status::invalid, "a progress line with a field of a wrong type");
  return progress;
}

Result<std::variant<Progress, Answer>> decode_answer(const Json& json) {
  Fields fields(json);
  Answer answer;
  uint64_t number = 255;
  fields.get("exit_code", number);
  fields.get("text", answer.text);
  fields.get("next_step", answer.next_step);
  if (const Json* data = fields.find("data")) answer.data = write_json(*data);
  Result<ExitCode> code = exit_code_from_number(number < 255 ? static_cast<int64_t>(number) : -1);
  if (!fields.ok() || !code) return failure(Status::invalid, "an answer with a field of a wrong type");
  answer.code = *code;
  return answer;
}

}  // namespace

Result<std::variant<Progress, Answer>> decode_line(std::string_view line) {
  Result<Json> json = parse_object(line, answer_bytes_max);
  if (!json) return failure(json.error());
  if (auto at = json->find("progress"); at != json->end()) return decode_progress(*at);
  if (auto at = json->find("answer"); at != json->end()) return decode_answer(*at);
  return failure(Status::invalid, "neither progress nor answer");
}

}  // namespace mars::control
