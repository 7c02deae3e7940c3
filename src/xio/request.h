// The XIO personality of the brick framework: block requests. Its Request travels through bricks whose Output, Input
// and Graph are instances for Xio; the short names are at the end of this file.
//
// Life of a request: get, io, put. `get` and `io` are two trips, each asynchronous, each back once; put() is immediate.
//   get  may wait for memory, may shorten `bytes`, may supply the buffer (`data`, `supplier`), may return a read that
//        is filled already (`filled`; then io is not needed). It may come back without a buffer: bring your own.
//        A request that brings its own aligned buffer skips get.
//   io   moves the bytes between `data` and the device.
//   put  returns a supplied buffer; harmless when there is none. Required before the request is reused or destroyed.
// Who needs several buffers issues io for one before it gets the next.
//
// Order: completions come in any order; a flush covers the writes that completed before it entered; overlapping writes
// in flight have no order among themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/hash.h"
#include "brick/input.h"
#include "xio/info.h"

namespace mars::xio {

enum class Op : uint8_t { read, write, flush, discard, write_zeroes };
inline constexpr size_t op_count = 5;
enum class Step : uint8_t { get, io };
using Priority = io::Priority;  // foreground, background

std::string_view name(Op op);

struct Request;

struct Xio {
  using Request = xio::Request;
  using Info = xio::Info;
  static bool holds_buffer(const Request& request);
  static const char* stricter(const Info& promised, const Info& offered) { return xio::stricter(promised, offered); }
};

// Lends buffers to requests. take_back() is called once for each, from put(): it must not call into bricks above.
class Supplier {
 public:
  virtual void take_back(Request& request) = 0;

 protected:
  ~Supplier() = default;
};

// Owned by its origin, which sets the fields while the request is with it. A brick that changes offset, bytes, data or
// op on the way down puts them back on the way up. Bricks that make children derive from it to add a parent.
struct Request : brick::Trip<Xio> {
  Op op = Op::read;
  Step step = Step::io;
  Priority priority = Priority::foreground;
  bool fua = false;          // write, discard, write_zeroes: durable when it completes
  bool digest_only = false;  // read: fills `digest` with the hash of the bytes, `data` stays unused
  bool filled = false;       // set by get: the read is done, `data` has the bytes
  uint32_t bytes = 0;        // 0 for flush only
  uint64_t offset = 0;
  std::byte* data = nullptr;     // `bytes` long; not for flush, discard, write_zeroes, digest_only
  Hash128 digest;                // result of digest_only
  Supplier* supplier = nullptr;  // who supplied `data`; null: the origin's own
  void* buffer = nullptr;        // the supplier's handle

  bool transfers() const { return op == Op::read || op == Op::write; }
  bool changes() const { return op == Op::write || op == Op::discard || op == Op::write_zeroes; }
  uint64_t end() const { return offset + bytes; }

  // Sets everything that an origin sets, for a request that is used again: io, foreground, own buffer.
  void prepare(Op what, uint64_t where, uint32_t length, std::byte* own_data) {
    CHECK(supplier == nullptr);
    op = what;
    step = Step::io;
    priority = Priority::foreground;
    fua = digest_only = filled = false;
    bytes = length;
    offset = where;
    data = own_data;
    status = Status::ok;
  }

  void put() {
    if (supplier == nullptr) return;
    std::exchange(supplier, nullptr)->take_back(*this);
    data = nullptr;
    buffer = nullptr;
    filled = false;
    returned();
  }
};

inline bool Xio::holds_buffer(const Request& request) { return request.supplier != nullptr; }

// What every entrance (front end, server, Port) asks before a request enters: ok; invalid when it is empty, outside the
// device, unaligned, too long, or without a buffer; unsupported when nobody below pays for it.
Status check_bounds(const Request& request, const Info& info);

using Output = brick::Output<Xio>;
using Edge = brick::Edge<Xio>;
template <class Aspect = brick::Nothing>
using Input = brick::Input<Xio, Aspect>;
using Line = brick::Line<Xio>;
using brick::Nothing;
using brick::On;

}  // namespace mars::xio
