#include "io/network.h"

namespace mars::io {

Task<Status> read_all(Stream& stream, std::span<std::byte> into) {
  size_t done = 0;
  while (done < into.size()) {
    Result<size_t> count = co_await stream.read_some(into.subspan(done));
    if (!count) {
      const bool in_the_middle = count.error().status == Status::end && done > 0;
      co_return in_the_middle ? Status::gone : count.error().status;
    }
    done += *count;
  }
  co_return Status::ok;
}

Task<Status> write_all(Stream& stream, std::span<const std::byte> from) {
  Buffer buffer{const_cast<std::byte*>(from.data()), from.size()};
  co_return co_await stream.write({&buffer, 1});
}

}  // namespace mars::io
