// The UUID of a partition, as GPT and MBR give one (UEFI specification, chapter 5): what tells two disks apart that
// have the same serial number, or none.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"

namespace mars::io {

// Reads bytes of the disk; false when they cannot be had.
using ReadAt = std::function<bool(uint64_t offset, ByteSpan bytes)>;

// `number`: as the kernel counts, from 1. The text is the kernel's: "5b0e5a0f-...-..." of a GPT, "90909090-02" of an
// MBR. Empty: there is no table, it says nothing, or it is not whole.
std::string partition_uuid(const ReadAt& read, uint32_t block_bytes, uint32_t number);

}  // namespace mars::io
