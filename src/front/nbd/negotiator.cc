#include "front/nbd/negotiator.h"

#include <utility>

namespace mars::nbd {
namespace {

using Next = Negotiator::Next;

void append(Bytes& answer, Bytes more) { answer.insert(answer.end(), more.begin(), more.end()); }

Next say(Bytes& answer, uint32_t option, OptionReply type, std::string_view text = {}) {
  append(answer, option_error(option, type, text));
  return Next::option;
}

}  // namespace

bool Negotiator::on_client_flags(uint32_t flags) {
  is_fixed_ = (flags & flag_fixed_newstyle) != 0;
  without_zeroes_ = (flags & flag_no_zeroes) != 0;
  return (flags & ~(flag_fixed_newstyle | flag_no_zeroes)) == 0;
}

void Negotiator::secured() {
  is_secure_ = true;
  has_structured_replies_ = false;
}

Next Negotiator::on_option(const OptionHeader& header, ByteView data, Bytes& answer) {
  const auto option = static_cast<Option>(header.option);
  const bool is_too_early = policy_ == TlsPolicy::required && !is_secure_;
  if (option == Option::abort) {
    say(answer, header.option, OptionReply::ack);
    return Next::close;
  }
  if (option == Option::export_name) return is_too_early ? Next::close : on_export_name(data, answer);
  if (!is_fixed_) return Next::close;  // such a client understands no answer to anything else
  if (option == Option::starttls) return on_starttls(header.option, data, answer);
  if (is_too_early) return say(answer, header.option, OptionReply::tls_required, "this server wants STARTTLS first");
  switch (option) {
    case Option::list:
      return on_list(header.option, data, answer);
    case Option::info:
    case Option::go:
      return on_info(header.option, data, answer);
    case Option::structured_reply:
      return on_structured_reply(header.option, data, answer);
    default:
      return say(answer, header.option, OptionReply::unsupported);
  }
}

std::optional<std::string> Negotiator::resolve(std::string_view name) const {
  if (!name.empty()) return std::string(name);
  std::vector<std::string> names = catalogue_.names();
  if (names.size() != 1) return std::nullopt;
  return std::move(names.front());
}

// This option has no way to say no but to close.
Next Negotiator::on_export_name(ByteView data, Bytes& answer) {
  if (data.size() > name_bytes_max) return Next::close;
  const auto name = resolve(text_of(data));
  auto shape = name ? catalogue_.find(*name) : std::nullopt;
  if (!shape) return Next::close;
  if (has_structured_replies_) shape->flags |= send_df;
  name_ = *name;
  append(answer, export_name_answer(*shape, without_zeroes_));
  return Next::transmission;
}

Next Negotiator::on_list(uint32_t option, ByteView data, Bytes& answer) {
  if (!data.empty()) return say(answer, option, OptionReply::invalid, "LIST has no data");
  for (const std::string& name : catalogue_.names()) {
    append(answer, option_reply(option, OptionReply::server, server_entry(name)));
  }
  return say(answer, option, OptionReply::ack);
}

Next Negotiator::on_starttls(uint32_t option, ByteView data, Bytes& answer) {
  if (policy_ == TlsPolicy::none) return say(answer, option, OptionReply::unsupported, "no TLS here");
  if (is_secure_ || !data.empty()) return say(answer, option, OptionReply::invalid, "STARTTLS once, without data");
  say(answer, option, OptionReply::ack);
  return Next::secure;
}

Next Negotiator::on_info(uint32_t option, ByteView data, Bytes& answer) {
  const auto request = decode_info_request(data);
  if (!request) return say(answer, option, OptionReply::invalid, "the option's data is malformed");
  const auto name = resolve(request->name);
  if (!name) {
    return say(answer, option, OptionReply::unknown,
               "there is not exactly one device open here: name the export that you want");
  }
  auto shape = catalogue_.find(*name);
  if (!shape) return say(answer, option, OptionReply::unknown, catalogue_.why_not(*name));
  if (has_structured_replies_) shape->flags |= send_df;
  append(answer, option_reply(option, OptionReply::info, export_info(*shape)));
  append(answer, option_reply(option, OptionReply::info, block_size_info(*shape)));
  for (uint16_t info : request->infos) {
    if (info == static_cast<uint16_t>(InfoType::name)) {
      append(answer, option_reply(option, OptionReply::info, text_info(InfoType::name, *name)));
    } else if (info == static_cast<uint16_t>(InfoType::description)) {
      const std::string text = catalogue_.description(*name);
      append(answer, option_reply(option, OptionReply::info, text_info(InfoType::description, text)));
    }
  }
  say(answer, option, OptionReply::ack);
  if (option != static_cast<uint32_t>(Option::go)) return Next::option;
  name_ = *name;
  return Next::transmission;
}

Next Negotiator::on_structured_reply(uint32_t option, ByteView data, Bytes& answer) {
  if (!data.empty()) return say(answer, option, OptionReply::invalid, "STRUCTURED_REPLY has no data");
  has_structured_replies_ = true;
  return say(answer, option, OptionReply::ack);
}

}  // namespace mars::nbd
