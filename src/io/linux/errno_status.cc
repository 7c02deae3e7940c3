#include "io/linux/errno_status.h"

#include <cerrno>
#include <cstring>

#include <fmt/core.h>

namespace mars::io {

Status status_from_errno(int number) {
  switch (number) {
    case 0:
      return Status::ok;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Status::no_space;
    case ENOENT:
    case ENOTDIR:
    case ENXIO:
    case ENODEV:
      return Status::not_found;
    case EEXIST:
    case ENOTEMPTY:
      return Status::exists;
    case EACCES:
    case EPERM:
    case EROFS:
    case EBADF:
      return Status::permission;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
    case EADDRINUSE:
    case EMFILE:  // somebody may close one
    case ENFILE:
      return Status::busy;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ELOOP:
      return Status::invalid;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
    case EAFNOSUPPORT:
      return Status::unsupported;
    case ETIMEDOUT:
      return Status::timed_out;
    case ECONNREFUSED:
      return Status::refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL:
      return Status::unreachable;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ECANCELED:
      return Status::gone;
    default:
      return Status::io_error;
  }
}

Error error_from_errno(int number, std::string_view what) {
  const char* why = strerrordesc_np(number);
  return Error(status_from_errno(number), fmt::format("{}: {}", what, why != nullptr ? why : "unknown error"));
}

}  // namespace mars::io
