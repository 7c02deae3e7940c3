#include "xio/port.h"

#include <limits>

namespace mars::xio {

Port::Io::Io(Port& port, Op what, uint64_t where, uint64_t length, std::byte* own_data, bool with_fua, Hash128* into)
    : port_(port), digest_(into), fits_(length <= std::numeric_limits<uint32_t>::max()) {
  prepare(what, where, static_cast<uint32_t>(length), own_data);
  priority = port.priority_;
  fua = with_fua;
  digest_only = into != nullptr;
}

bool Port::Io::await_ready() {
  status = fits_ ? check_bounds(*this, port_.info()) : Status::invalid;
  return status != Status::ok;
}

void Port::Io::await_suspend(std::coroutine_handle<> caller) {
  caller_ = caller;
  port_.below_.enter(*this);
}

Status Port::Io::await_resume() {
  if (digest_ != nullptr && status == Status::ok) *digest_ = digest;
  return status;
}

// The coroutine may end here, and the port with it: nothing is touched afterwards.
void Port::left(Request& request) { static_cast<Io&>(request).caller_.resume(); }

}  // namespace mars::xio
