#include "node/signature.h"

#include <algorithm>
#include <string_view>

#include "base/aligned.h"

namespace mars::node {

namespace {

struct Mark {
  size_t offset;
  std::string_view bytes;
  std::string_view what;
};

using namespace std::string_view_literals;

// Offsets of swap marks follow the page size of the machine that made it.
constexpr Mark marks[] = {
    {0, "XFSB"sv, "an XFS filesystem"},
    {0x10040, "_BHRfS_M"sv, "a btrfs filesystem"},
    {0, "LUKS\xba\xbe"sv, "a LUKS volume"},
    {0, "SKUL\xba\xbe"sv, "a LUKS volume"},
    {512, "EFI PART"sv, "a GPT partition table"},
    {4096, "EFI PART"sv, "a GPT partition table"},
    {3, "NTFS    "sv, "an NTFS filesystem"},
    {54, "FAT1"sv, "a FAT filesystem"},
    {82, "FAT32"sv, "a FAT filesystem"},
    {3, "EXFAT   "sv, "an exFAT filesystem"},
    {0x8001, "CD001"sv, "an ISO 9660 filesystem"},
    {0x400, "\x10\x20\xf5\xf2"sv, "an F2FS filesystem"},
    {0, "hsqs"sv, "a squashfs filesystem"},
    {0x8001, "BEA01"sv, "a UDF filesystem"},
    {0x8000, "JFS1"sv, "a JFS filesystem"},
    {0x10034, "ReIsEr"sv, "a ReiserFS filesystem"},
    {0x400, "\x02\x00\x00\x00\x00\x00\x34\x34"sv, "a NILFS2 filesystem"},
    {0x400, "H+\x00\x04"sv, "an HFS+ filesystem"},
    {0x400, "HX\x00\x05"sv, "an HFS+ filesystem"},
    {0x400, "OCFSV2"sv, "an OCFS2 filesystem"},
    {0x800, "OCFSV2"sv, "an OCFS2 filesystem"},
    {0x1000, "OCFSV2"sv, "an OCFS2 filesystem"},
    {0x2000, "OCFSV2"sv, "an OCFS2 filesystem"},
    {0x10000, "\x01\x16\x19\x70\x00\x00\x00\x01"sv, "a GFS2 filesystem"},
    {0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"sv, "a bcache device"},
    {0x1018, "\xc6\x85\x73\xf6\x66\xce\x90\xa9"sv, "a bcachefs filesystem"},
    {3, "-FVE-FS-"sv, "a BitLocker volume"},
    {4096, "\xfc\x4e\x2b\xa9"sv, "a member of a software RAID"},
    {0, "\xfc\x4e\x2b\xa9"sv, "a member of a software RAID"},
    {4096 - 10, "SWAPSPACE2"sv, "a swap area"},
    {4096 - 10, "SWAP-SPACE"sv, "a swap area"},
    {16384 - 10, "SWAPSPACE2"sv, "a swap area"},
    {65536 - 10, "SWAPSPACE2"sv, "a swap area"},
};

bool is_at(ByteView head, size_t offset, std::string_view bytes) {
  return offset + bytes.size() <= head.size() && text_of(head.subspan(offset, bytes.size())) == bytes;
}

// Incompatible features since ext4 (extents, 64bit, flex_bg), and a log of its own since ext3.
std::string ext(ByteView head) {
  constexpr size_t superblock = 1024;
  if (head.size() < superblock + 0x68 || load_u16(head.data() + superblock + 0x38) != 0xef53) return {};
  const uint32_t compatible = load_u32(head.data() + superblock + 0x5c);
  const uint32_t incompatible = load_u32(head.data() + superblock + 0x60);
  if ((incompatible & 0x2c0) != 0) return "an ext4 filesystem";
  return (compatible & 4) != 0 ? "an ext3 filesystem" : "an ext2 filesystem";
}

bool has_lvm(ByteView head) {
  for (size_t sector = 0; sector < 4; ++sector) {
    if (is_at(head, sector * 512, "LABELONE") && is_at(head, sector * 512 + 24, "LVM2")) return true;
  }
  return false;
}

// A boot sector without a partition is no partition table.
bool has_mbr(ByteView head) {
  if (!is_at(head, 510, "\x55\xaa")) return false;
  for (size_t entry = 446; entry < 510; entry += 16) {
    const auto flag = static_cast<uint8_t>(head[entry]);
    const bool is_used = static_cast<uint8_t>(head[entry + 4]) != 0 && load_u32(head.data() + entry + 12) != 0;
    if (is_used && (flag == 0 || flag == 0x80)) return true;
  }
  return false;
}

// The ring of uberblocks of the first label; either byte order.
bool has_zfs(ByteView head) {
  constexpr std::string_view little = "\x0c\xb1\xba\x00\x00\x00\x00\x00"sv;
  constexpr std::string_view big = "\x00\x00\x00\x00\x00\xba\xb1\x0c"sv;
  for (size_t at = 128u << 10; at + 1024 <= head.size(); at += 1024) {
    if (is_at(head, at, little) || is_at(head, at, big)) return true;
  }
  return false;
}

}  // namespace

std::string recognise(ByteView head) {
  if (std::string found = ext(head); !found.empty()) return found;
  if (has_lvm(head)) return "an LVM physical volume";
  for (const Mark& mark : marks) {
    if (is_at(head, mark.offset, mark.bytes)) return std::string(mark.what);
  }
  if (has_zfs(head)) return "a member of a ZFS pool";
  if (has_mbr(head)) return "an MBR partition table";
  return {};
}

Task<Result<std::string>> recognise(io::File& file) {
  const uint64_t bytes = std::min<uint64_t>(signature_bytes, file.size() / 4096 * 4096);
  if (bytes == 0) co_return std::string();
  AlignedBuffer buffer(bytes);
  const Status status = co_await io::read(file, 0, buffer.span());
  if (status != Status::ok) co_return failure(status, "the disk cannot be read: " + std::string(name(status)));
  co_return recognise(ByteView(buffer.span()));
}

}  // namespace mars::node
