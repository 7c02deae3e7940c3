// The one vocabulary of outcomes. Status is what the data path and the formats return; Error adds the sentence that an
// operator reads; Result<T> is a T or an Error. Nothing above io/ ever sees an errno.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mars {

enum class [[nodiscard]] Status : uint16_t {
  ok = 0,
  gone,         // the other end, the brick below or the machine was switched off; the outcome of the request is unknown
  io_error,     // a disk said no
  no_space,     // a disk or a bound is full
  damaged,      // bytes that were whole once are not: a checksum or a chain does not fit
  invalid,      // malformed input: out of bounds, unaligned, wrong magic, reserved bits set
  unsupported,  // well-formed, but not by this version or not by this device
  not_found,
  exists,
  busy,     // in use, or not drained within the deadline
  refused,  // a safety check said no; nothing was changed
  timed_out,
  unreachable,  // no session with the peer
  forked,       // two histories, neither a prefix of the other
  permission,   // not a member, not authenticated, not allowed by the kernel
  end,          // end of a stream, a log, a file
  stopped,      // the activity was asked to stop
};

// The name as it is written in logs, metrics and JSON: "ok", "io_error" ...
std::string_view name(Status status);

// What went wrong, to what, and what to do next: a sentence for the operator. Never empty when it leaves a room.
struct [[nodiscard]] Error {
  Status status = Status::ok;
  std::string text;
  Error(Status s) : status(s), text(name(s)) {}  // NOLINT: a Status is an Error without more to say
  Error(Status s, std::string t) : status(s), text(std::move(t)) {}
};

template <class T>
using Result = std::expected<T, Error>;

// `return failure(Status::not_found, "...")` from any function that returns a Result.
inline std::unexpected<Error> failure(Status status) { return std::unexpected<Error>(Error(status)); }
inline std::unexpected<Error> failure(Status status, std::string text) {
  return std::unexpected<Error>(Error(status, std::move(text)));
}
inline std::unexpected<Error> failure(Error error) { return std::unexpected<Error>(std::move(error)); }

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::ok : result.error().status;
}

}  // namespace mars
