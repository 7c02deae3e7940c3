// Keeper: the process that holds one loop device for marsd, because a server must not hold its own device open:
// killed, it would wait for itself in its exit for ever. It opens the one file of a FUSE mount, binds a loop device
// to it (or adopts the one that a dead keeper left), and then obeys marsd line by line until marsd goes away.
//
//   to marsd:   "READY /dev/loopN" once; then an answer per command: CLOSED | CLOSED LOSSY | BUSY | RESIZED
//               "FAILED <errno> <what>: <why>" in place of any of them
//   from marsd: "close", "resize"; end of file: marsd is gone or has given up
//
// A marsd that was killed while one of its threads waits for a disk that hangs keeps its descriptors open, and no end
// of file comes: once a second the keeper looks whether the process that started it is dead otherwise. It removes the
// link with the device: a link that stayed would lead to whoever gets the number next. At the end it aborts the FUSE
// connection and unmounts it lazily, so that nothing waits for a server that is gone even if a copy of its descriptor
// survives somewhere.
#pragma once

#include <cstdint>
#include <cstdio>

#include "front/fuse/keeper/loop_device.h"

namespace mars::fuse {

struct KeeperOptions {
  const char* mount_directory = nullptr;  // where the FUSE file system is mounted
  const char* file_name = "disk";         // its file
  const char* link = nullptr;             // removed at the end if it still leads to this loop device
  int adopt_number = -1;                  // a loop device that is bound to that file already; -1: bind a new one
  int parent = 0;                         // the pid of marsd; 0: only the end of file counts
  LoopOptions loop;
};

class Keeper {
 public:
  Keeper(const KeeperOptions& options, FILE* commands, FILE* answers)
      : options_(options), commands_(commands), answers_(answers) {}
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper();

  // Returns the exit code of the process: 0 after an ordered close, 1 otherwise.
  int run();

 private:
  Outcome take();
  bool listen(char* line, int bytes);
  bool is_parent_gone() const;
  bool obey(const char* command);
  bool close();
  void resize();
  void answer(const char* line);
  void answer(const Outcome& outcome);
  void remove_link();
  void give_up();

  const KeeperOptions& options_;
  FILE* commands_;
  FILE* answers_;
  int mount_ = -1;
  int file_ = -1;
  LoopDevice loop_;
};

}  // namespace mars::fuse
