// Negotiator: the server's side of the NBD handshake as a state machine on bytes, without I/O: options in, answers out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "front/nbd/nbd_protocol.h"

namespace mars::nbd {

// What can be exported right now. Names are those of devices.
class Catalogue {
 public:
  virtual ~Catalogue() = default;
  virtual std::vector<std::string> names() const = 0;  // in order
  virtual std::optional<Shape> find(std::string_view name) const = 0;
  virtual std::string description(std::string_view name) const = 0;
  // For the client of a name that is not open here: who is primary, or that there is no such resource.
  virtual std::string why_not(std::string_view name) const = 0;
};

enum class TlsPolicy : uint8_t { none, required };

class Negotiator {
 public:
  enum class Next : uint8_t {
    option,        // read the next one
    secure,        // the answer is out: TLS now, then secured()
    transmission,  // name() is open from now on
    close,         // after the answer, if there is one
  };

  Negotiator(const Catalogue& catalogue, TlsPolicy policy) : catalogue_(catalogue), policy_(policy) {}

  // False: flags that we do not know; close.
  bool on_client_flags(uint32_t flags);
  // `data` is complete. Appends the answer to `answer`.
  Next on_option(const OptionHeader& header, ByteView data, Bytes& answer);
  // TLS stands: what was agreed before is forgotten.
  void secured();

  const std::string& name() const { return name_; }  // never empty in transmission
  bool has_structured_replies() const { return has_structured_replies_; }

 private:
  Next on_export_name(ByteView data, Bytes& answer);
  Next on_list(uint32_t option, ByteView data, Bytes& answer);
  Next on_starttls(uint32_t option, ByteView data, Bytes& answer);
  Next on_info(uint32_t option, ByteView data, Bytes& answer);
  Next on_structured_reply(uint32_t option, ByteView data, Bytes& answer);
  // "" is the only one that is open.
  std::optional<std::string> resolve(std::string_view name) const;

  const Catalogue& catalogue_;
  const TlsPolicy policy_;
  bool is_fixed_ = false;
  bool without_zeroes_ = false;
  bool is_secure_ = false;
  bool has_structured_replies_ = false;
  std::string name_;
};

}  // namespace mars::nbd
