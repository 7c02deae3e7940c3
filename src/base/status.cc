#include "base/status.h"

namespace mars {

std::string_view name(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::gone:
      return "gone";
    case Status::io_error:
      return "io_error";
    case Status::no_space:
      return "no_space";
    case Status::damaged:
      return "damaged";
    case Status::invalid:
      return "invalid";
    case Status::unsupported:
      return "unsupported";
    case Status::not_found:
      return "not_found";
    case Status::exists:
      return "exists";
    case Status::busy:
      return "busy";
    case Status::refused:
      return "refused";
    case Status::timed_out:
      return "timed_out";
    case Status::unreachable:
      return "unreachable";
    case Status::forked:
      return "forked";
    case Status::permission:
      return "permission";
    case Status::end:
      return "end";
    case Status::stopped:
      return "stopped";
  }
  return "unknown";
}

}  // namespace mars
