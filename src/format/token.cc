#include "format/token.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace mars::format {

namespace {

constexpr std::string_view prefix = "mars1-";
constexpr uint16_t token_version = 1;
constexpr size_t check_bytes = 4;
constexpr size_t text_bytes_max = 8192;
constexpr std::string_view alphabet = "0123456789abcdefghjkmnpqrstvwxyz";  // Crockford: no i, l, o, u

constexpr const char* copy_advice = "; copy the whole line that `marsadm invite` printed";

std::unexpected<Error> bad_token(std::string what) {
  return failure(Status::invalid, "the token " + std::move(what) + copy_advice);
}

std::string base32(ByteView bytes) {
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (std::byte byte : bytes) {
    bits = (bits << 8) | std::to_integer<uint32_t>(byte);
    for (count += 8; count >= 5; count -= 5) text.push_back(alphabet[(bits >> (count - 5)) & 31]);
  }
  if (count > 0) text.push_back(alphabet[(bits << (5 - count)) & 31]);
  return text;
}

std::optional<uint32_t> digit_value(char c) {
  c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (c == 'o') c = '0';
  if (c == 'i' || c == 'l') c = '1';
  size_t value = alphabet.find(c);
  if (value == std::string_view::npos) return std::nullopt;
  return static_cast<uint32_t>(value);
}

// Digits only. Nothing when the bits that are left over do not fit: one digit too many or too few.
std::optional<std::vector<std::byte>> from_base32(std::string_view text) {
  std::vector<std::byte> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    bits = (bits << 5) | digit_value(c).value_or(0);
    count += 5;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<std::byte>(bits >> count));
  }
  if (count >= 5 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

uint32_t check_of(ByteView bytes) { return static_cast<uint32_t>(hash(bytes).low); }

bool is_bounded(const JoinToken& token) {
  auto fits = [](const std::string& text) { return !text.empty() && text.size() <= token_address_bytes_max; };
  return !token.addresses.empty() && token.addresses.size() <= token_addresses_max &&
         std::ranges::all_of(token.addresses, fits);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  size_t begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

Result<std::string_view> behind_prefix(std::string_view text) {
  std::string start = lower(text.substr(0, prefix.size()));
  if (start == prefix) return text.substr(prefix.size());
  size_t digits_end = std::min(start.find_first_not_of("0123456789", 4), start.size());
  bool numbered = start.starts_with("mars") && digits_end > 4;
  if (numbered && start.substr(4, digits_end - 4) != "1") {
    return failure(Status::unsupported,
                   "the token is of a newer version than this marsadm knows; install the version "
                   "of MARS that the cluster runs");
  }
  return bad_token("does not begin with \"mars1-\"");
}

Result<JoinToken> decode(ByteView bytes) {
  Reader reader(bytes);
  JoinToken token;
  uint16_t version = reader.u16();
  if (reader.ok() && version != token_version) {
    return failure(Status::unsupported, "the token has version " + std::to_string(version) +
                                            ", this program knows version " + std::to_string(token_version));
  }
  token.cluster = read_uuid(reader);
  reader.copy(std::as_writable_bytes(std::span(token.ca_key_sha256)));
  reader.copy(std::as_writable_bytes(std::span(token.secret)));
  size_t count = reader.u8();
  if (count > token_addresses_max) reader.fail();
  for (size_t i = 0; i < count && reader.ok(); ++i) token.addresses.emplace_back(reader.text(reader.u8()));
  if (!reader.finished() || !is_bounded(token) || token.cluster.is_nil()) return bad_token("is malformed");
  return token;
}

}  // namespace

std::string to_string(const JoinToken& token) {
  CHECK(is_bounded(token) && !token.cluster.is_nil());
  std::vector<std::byte> bytes;
  Writer writer(bytes);
  writer.u16(token_version);
  write_uuid(writer, token.cluster);
  writer.bytes(std::as_bytes(std::span(token.ca_key_sha256)));
  writer.bytes(std::as_bytes(std::span(token.secret)));
  writer.u8(static_cast<uint8_t>(token.addresses.size()));
  for (const std::string& address : token.addresses) {
    writer.u8(static_cast<uint8_t>(address.size()));
    writer.text(address);
  }
  writer.u32(check_of(bytes));
  return std::string(prefix) + base32(bytes);
}

Result<JoinToken> parse_token(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return bad_token("is empty");
  if (text.size() > text_bytes_max) return bad_token("is too long");
  auto digits = behind_prefix(text);
  if (!digits) return failure(digits.error());
  if (!std::ranges::all_of(*digits, [](char c) { return digit_value(c).has_value(); })) {
    return bad_token("has a character in it that no token has");
  }
  auto bytes = from_base32(*digits);
  if (!bytes || bytes->size() <= check_bytes) return bad_token("is cut off or mistyped");
  ByteView content = ByteView(*bytes).first(bytes->size() - check_bytes);
  if (load_u32(content.data() + content.size()) != check_of(content)) return bad_token("is cut off or mistyped");
  return decode(content);
}

}  // namespace mars::format
