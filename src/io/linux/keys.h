// OpensslKeys: io::Keys with OpenSSL. Needs no machine and no reactor.
#pragma once

#include "io/keys.h"

namespace mars::io {

class OpensslKeys final : public Keys {
 public:
  Result<std::string> make_key() override;
  Result<KeyPair> make_ca(std::string cluster) override;
  Result<std::string> make_request(std::string key_pem, std::string uri) override;
  Result<std::string> sign(const KeyPair& ca, std::string request_pem, std::string uri, std::string role) override;
  Result<Sha256> public_key_hash(std::string pem) override;
  Result<Sha256> request_key_hash(std::string request_pem) override;
  Sha256 sha256(std::span<const std::byte> bytes) override;
};

}  // namespace mars::io
