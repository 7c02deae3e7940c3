// A forced takeover (T8): what is asked for, and what will be missing then. Values.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace mars::replication {

// What `primary --force` says before it acts.
struct LossStatement {
  std::string text;
  uint64_t bytes = 0;
  uint64_t milliseconds = 0;
};

struct ForceOrder {
  bool is_dry_run = false;
  bool now = false;                              // without what others have more
  std::function<bool()> is_over;                 // whoever gave the order has gone meanwhile; may be empty
  std::function<void(const std::string&)> tell;  // what will be missing, before it is given up; may be empty
};

}  // namespace mars::replication
