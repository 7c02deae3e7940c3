// Replica: its graph, and the instruments that operators put into it.
#include "replication/replica.h"

namespace mars::replication {

std::string Replica::graph() const { return graph_.dump() + insertions_.report(); }

Task<Result<std::string>> Replica::insert(std::string type, std::string at, Insertions::Maker make,
                                          io::Duration deadline) {
  co_await turn_.acquire();
  Result<std::string> name = failure(Status::refused, "the disk is detached, so there is no graph");
  if (log_ != nullptr && !stop_.is_set()) {
    name = co_await insertions_.insert(std::move(type), std::move(at), std::move(make), deadline);
  }
  turn_.release(1);
  co_return name;
}

Task<Result<void>> Replica::take_out(std::string name, io::Duration deadline) {
  co_await turn_.acquire();
  Result<void> done = co_await insertions_.remove(std::move(name), deadline);
  turn_.release(1);
  co_return done;
}

}  // namespace mars::replication
