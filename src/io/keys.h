// Keys: who a host is. A cluster's own CA signs one certificate per host (role host) or NBD client (role client).
// Texts are PEM. Certificates carry the URI SAN "mars:<cluster>/<role>/<name>".
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "io/network.h"

namespace mars::io {

struct KeyPair {
  std::string key_pem;  // private; EC P-256
  std::string certificate_pem;
};

// All in memory, a few milliseconds each. invalid: a PEM that does not parse; permission: a signature that does not
// fit.
class Keys {
 public:
  virtual ~Keys() = default;
  virtual Result<std::string> make_key() = 0;
  virtual Result<KeyPair> make_ca(std::string cluster) = 0;
  virtual Result<std::string> make_request(std::string key_pem, std::string uri) = 0;
  // Signs for exactly this uri and role; what the request asks for is not believed.
  virtual Result<std::string> sign(const KeyPair& ca, std::string request_pem, std::string uri, std::string role) = 0;
  virtual Result<Sha256> public_key_hash(std::string pem) = 0;  // of a key, a request or a certificate
  // Of the request that sign() would sign, and of nothing else that may lie beside it: who asks must have that key.
  virtual Result<Sha256> request_key_hash(std::string request_pem) = 0;
  virtual Sha256 sha256(std::span<const std::byte> bytes) = 0;
};

}  // namespace mars::io
