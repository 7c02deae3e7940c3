#include "io/linux/partition_table.h"

#include <array>

#include <fmt/core.h>

namespace mars::io {
namespace {

constexpr size_t sector = 512;

// The first three parts of a GUID are numbers, the last two bytes as they are.
std::string guid_text(const std::byte* at) {
  std::string text = fmt::format("{:08x}-{:04x}-{:04x}-", load_u32(at), load_u16(at + 4), load_u16(at + 6));
  for (size_t i = 8; i < 16; ++i) text += fmt::format("{}{:02x}", i == 10 ? "-" : "", static_cast<uint8_t>(at[i]));
  return text;
}

std::string gpt_uuid(const ReadAt& read, uint32_t block_bytes, uint32_t number) {
  constexpr uint32_t smallest_entry = 128;
  constexpr uint32_t largest_entry = 4096;
  constexpr uint32_t unique_guid = 16;
  std::array<std::byte, sector> header;
  if (!read(block_bytes, header) || text_of(ByteView(header).first(8)) != "EFI PART") return {};
  const uint64_t first_block = load_u64(header.data() + 72);
  const uint32_t entries = load_u32(header.data() + 80);
  const uint32_t entry_bytes = load_u32(header.data() + 84);
  if (entry_bytes < smallest_entry || entry_bytes > largest_entry || number > entries) return {};
  if (first_block > (uint64_t{1} << 40)) return {};
  std::array<std::byte, smallest_entry> entry;
  if (!read(first_block * block_bytes + uint64_t{number - 1} * entry_bytes, entry)) return {};
  const ByteView guid = ByteView(entry).subspan(unique_guid, 16);
  return all_zero(guid) ? std::string() : guid_text(guid.data());
}

}  // namespace

std::string partition_uuid(const ReadAt& read, uint32_t block_bytes, uint32_t number) {
  constexpr auto protective = std::byte{0xee};  // this MBR only says that there is a GPT
  if (number == 0 || block_bytes < sector) return {};
  std::array<std::byte, sector> mbr;
  if (!read(0, mbr) || load_u16(mbr.data() + 510) != 0xaa55) return {};
  for (size_t entry = 446; entry < 510; entry += 16) {
    if (mbr[entry + 4] == protective) return gpt_uuid(read, block_bytes, number);
  }
  const uint32_t signature = load_u32(mbr.data() + 440);
  return signature == 0 ? std::string() : fmt::format("{:08x}-{:02x}", signature, number);
}

}  // namespace mars::io
