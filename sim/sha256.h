// SHA-256 (FIPS 180-4), for simulated keys: the simulator links no OpenSSL.
#pragma once

#include <span>
#include <string>

#include "io/network.h"

namespace mars::sim {

io::Sha256 sha256(std::span<const std::byte> bytes);
std::string hex(const io::Sha256& hash);

}  // namespace mars::sim
