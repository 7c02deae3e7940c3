#include "sim/keys.h"

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "sim/sha256.h"

namespace mars::sim {
namespace {

// Fields, one per line, between the markers of a kind.
std::string make_pem(const std::string& kind, const std::vector<std::string>& fields) {
  std::string text = "-----BEGIN SIM " + kind + "-----\n";
  for (const std::string& field : fields) text += field + "\n";
  return text + "-----END SIM " + kind + "-----\n";
}

std::optional<std::vector<std::string>> parse_pem(const std::string& pem, const std::string& kind, size_t count) {
  const std::string begin = "-----BEGIN SIM " + kind + "-----\n";
  const std::string end = "-----END SIM " + kind + "-----\n";
  if (pem.size() < begin.size() + end.size() || !pem.starts_with(begin) || !pem.ends_with(end)) return std::nullopt;
  const std::string body = pem.substr(begin.size(), pem.size() - begin.size() - end.size());
  std::vector<std::string> fields;
  for (size_t at = 0; at < body.size();) {
    const size_t line = body.find('\n', at);
    if (line == std::string::npos) return std::nullopt;
    fields.push_back(body.substr(at, line - at));
    at = line + 1;
  }
  if (fields.size() != count) return std::nullopt;
  return fields;
}

io::Sha256 digest_of(const std::string& text) { return sha256(bytes_of(text)); }

std::optional<io::Sha256> parse_hash(const std::string& text) {
  io::Sha256 hash = {};
  if (text.size() != 64) return std::nullopt;
  for (size_t i = 0; i < 64; ++i) {
    const size_t digit = std::string_view("0123456789abcdef").find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    hash[i / 2] = hash[i / 2] << 4 | static_cast<std::byte>(digit);
  }
  return hash;
}

std::string signature(const std::string& uri, const std::string& role, const io::Sha256& key,
                      const io::Sha256& issuer) {
  return hex(digest_of("signature\n" + uri + "\n" + role + "\n" + hex(key) + "\n" + hex(issuer)));
}

std::string make_certificate(const std::string& uri, const std::string& role, const io::Sha256& key,
                             const io::Sha256& issuer) {
  return make_pem("CERTIFICATE", {uri, role, hex(key), hex(issuer), signature(uri, role, key, issuer)});
}

struct Request {
  std::string uri;
  io::Sha256 key = {};
};

std::optional<Request> parse_request(const std::string& pem) {
  auto fields = parse_pem(pem, "CERTIFICATE REQUEST", 3);
  if (!fields) return std::nullopt;
  auto key = parse_hash((*fields)[1]);
  if (!key || (*fields)[2] != hex(digest_of("request\n" + (*fields)[0] + "\n" + (*fields)[1]))) return std::nullopt;
  return Request{(*fields)[0], *key};
}

}  // namespace

std::optional<io::Sha256> public_of(const std::string& key_pem) {
  auto fields = parse_pem(key_pem, "PRIVATE KEY", 1);
  if (!fields || !parse_hash((*fields)[0])) return std::nullopt;
  return digest_of("public\n" + (*fields)[0]);
}

std::optional<Certificate> parse_certificate(const std::string& pem) {
  auto fields = parse_pem(pem, "CERTIFICATE", 5);
  if (!fields) return std::nullopt;
  auto key = parse_hash((*fields)[2]);
  auto issuer = parse_hash((*fields)[3]);
  if (!key || !issuer || (*fields)[4] != signature((*fields)[0], (*fields)[1], *key, *issuer)) return std::nullopt;
  return Certificate{(*fields)[0], (*fields)[1], *key, *issuer};
}

Result<std::string> SimKeys::make_key() {
  io::Sha256 secret;
  for (std::byte& byte : secret) byte = static_cast<std::byte>(prng_.next());
  return make_pem("PRIVATE KEY", {hex(secret)});
}

Result<io::KeyPair> SimKeys::make_ca(std::string cluster) {
  io::KeyPair pair;
  pair.key_pem = *make_key();
  const io::Sha256 key = *public_of(pair.key_pem);
  pair.certificate_pem = make_certificate("mars:" + cluster + "/ca", "ca", key, key);
  return pair;
}

Result<std::string> SimKeys::make_request(std::string key_pem, std::string uri) {
  auto key = public_of(key_pem);
  if (!key) return failure(Status::invalid, "not a private key");
  return make_pem("CERTIFICATE REQUEST", {uri, hex(*key), hex(digest_of("request\n" + uri + "\n" + hex(*key)))});
}

Result<std::string> SimKeys::sign(const io::KeyPair& ca, std::string request_pem, std::string uri, std::string role) {
  auto request = parse_request(request_pem);
  if (!request) return failure(Status::invalid, "not a certificate request");
  auto signer = parse_certificate(ca.certificate_pem);
  auto key = public_of(ca.key_pem);
  if (!signer || !key) return failure(Status::invalid, "not a CA");
  if (signer->key != *key || signer->role != "ca") return failure(Status::permission, "the key is not the CA's");
  return make_certificate(uri, role, request->key, signer->key);
}

Result<io::Sha256> SimKeys::public_key_hash(std::string pem) {
  if (auto key = public_of(pem)) return *key;
  if (auto certificate = parse_certificate(pem)) return certificate->key;
  if (auto request = parse_request(pem)) return request->key;
  return failure(Status::invalid, "neither a key nor a request nor a certificate");
}

Result<io::Sha256> SimKeys::request_key_hash(std::string request_pem) {
  if (auto request = parse_request(request_pem)) return request->key;
  return failure(Status::invalid, "not a certificate request");
}

io::Sha256 SimKeys::sha256(std::span<const std::byte> bytes) { return sim::sha256(bytes); }

}  // namespace mars::sim
