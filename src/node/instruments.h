// The instruments that `marsadm insert` knows: one table of their types, their settings and who makes them.
#pragma once

#include <string>

#include "io/machine.h"
#include "replication/insertions.h"

namespace mars::node {

// `settings`: "longest=5ms,shortest=1ms". invalid: an unknown type or setting, a value that does not fit; the text
// names what there is.
Result<replication::Insertions::Maker> instrument_maker(io::Machine& machine, const std::string& type,
                                                        const std::string& settings);

}  // namespace mars::node
