// Invitations: the tokens that this host has given out. Only the hash of a secret is kept. A token is burnt durably and
// bound to the key of the host that used it, before anything is handed out: the same key may come again, no other.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "io/machine.h"

namespace mars::node {

using Secret = std::array<uint8_t, 16>;

class Invitations {
 public:
  static constexpr size_t open_max = 256;  // that are not burnt; then the oldest goes

  Invitations(io::Machine& machine, std::string path);

  Task<Result<void>> open();
  // A new secret, durable when it is returned. `valid`: from now on, by the wall clock of this host.
  Task<Result<Secret>> invite(io::Duration valid);
  // permission: unknown, expired, or burnt by another key; the text says which and what to do.
  Task<Result<void>> burn(Secret secret, io::Sha256 key);

 private:
  struct Invitation {
    io::Sha256 secret_hash = {};
    uint64_t expires_ns = 0;
    std::optional<io::Sha256> burnt_by;
  };
  Task<Result<void>> save();
  void forget_old();

  io::Machine& machine_;
  const std::string path_;
  std::vector<Invitation> invitations_;
  Semaphore turn_;
};

}  // namespace mars::node
