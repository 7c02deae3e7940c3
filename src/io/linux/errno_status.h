// Translates errno into the vocabulary of outcomes. Nothing of it leaves io/linux.
#pragma once

#include <string_view>

#include "base/status.h"

namespace mars::io {

Status status_from_errno(int number);

// "cannot open /x: No such file or directory".
Error error_from_errno(int number, std::string_view what);
inline std::unexpected<Error> errno_failure(int number, std::string_view what) {
  return std::unexpected<Error>(error_from_errno(number, what));
}

}  // namespace mars::io
