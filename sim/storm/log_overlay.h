// The records of a host's log between two positions, laid over an image of its disk: what replay will make of it. Reads
// the segment files as they lie on the simulated disk, without the code that is under test but the decoders.
#pragma once

#include <span>
#include <string>

#include "format/values.h"
#include "sim/disk.h"
#include "sim/storm/history.h"

namespace mars::sim {

// `image`: all sectors of History, in order. False: not every byte of (from, to] is there, whole and chained.
bool overlay_log(Disks& disks, const std::string& directory, const History& history, const Position& from,
                 const Position& to, std::span<std::byte> image);

}  // namespace mars::sim
