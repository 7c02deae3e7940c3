// What sysfs and /dev/disk know of a block device. Blocking: called on a helper thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/storage.h"

namespace mars::io {

struct BlockQueue {
  uint32_t logical_block_bytes = 0;  // 0: nothing is known
  uint32_t physical_block_bytes = 0;
  uint32_t minimum_io_bytes = 0;
  bool is_rotational = false;
  bool zeroes_natively = false;  // the device zeroes ranges by itself, so holes can be punched
  bool has_fua = false;          // a single write can be made durable without flushing the whole cache
};

BlockQueue block_queue(uint64_t device_number);

// The name by which the device is recognised when it appears under another number (D17): LV or MD UUID, WWN, serial,
// a loop device's backing file; of a partition that of its disk with its number, and the UUID of the partition table
// where the disk has neither WWN nor UUID. Printable; values that say nothing (only zeroes, not text) are passed over.
// Empty: nothing is known.
std::string hardware_id(uint64_t device_number);
// Of the device with this folder in sysfs.
std::string hardware_id(const std::string& folder, const std::string& dev = "/dev");

// As Storage::block_devices().
std::vector<BlockDevice> list_block_devices(const std::string& sysfs = "/sys", const std::string& dev = "/dev");

}  // namespace mars::io
