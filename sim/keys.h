// SimKeys: io::Keys without cryptography. Texts look like PEM and are deterministic; a signature is a digest that
// anybody could compute, so this keeps honest hosts apart, as the simulated world needs it, and protects nothing.
// SHA-256 is real.
#pragma once

#include <optional>
#include <string>

#include "base/prng.h"
#include "io/keys.h"

namespace mars::sim {

class SimKeys : public io::Keys {
 public:
  explicit SimKeys(Prng prng) : prng_(prng) {}

  Result<std::string> make_key() override;
  Result<io::KeyPair> make_ca(std::string cluster) override;
  Result<std::string> make_request(std::string key_pem, std::string uri) override;
  Result<std::string> sign(const io::KeyPair& ca, std::string request_pem, std::string uri, std::string role) override;
  Result<io::Sha256> public_key_hash(std::string pem) override;
  Result<io::Sha256> request_key_hash(std::string request_pem) override;
  io::Sha256 sha256(std::span<const std::byte> bytes) override;

 private:
  Prng prng_;
};

// What a simulated certificate says, when it is one and whole.
struct Certificate {
  std::string uri;
  std::string role;     // "host", "client" or "ca"
  io::Sha256 key = {};  // public key
  io::Sha256 issuer = {};
};
std::optional<Certificate> parse_certificate(const std::string& pem);
// The hash of the public key that belongs to a private one; nothing when it is none.
std::optional<io::Sha256> public_of(const std::string& key_pem);

}  // namespace mars::sim
