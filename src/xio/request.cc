#include "xio/request.h"

namespace mars::xio {
namespace {

Status payer(Support support) { return support == Support::none ? Status::unsupported : Status::ok; }

Status check_range(const Request& request, const Info& info) {
  if (request.bytes == 0) return Status::invalid;
  if (request.offset > info.bytes || request.bytes > info.bytes - request.offset) return Status::invalid;
  if (request.offset % info.block_bytes != 0 || request.bytes % info.block_bytes != 0) return Status::invalid;
  return Status::ok;
}

Status check_transfer(const Request& request, const Info& info) {
  if (request.bytes > info.bytes_max) return Status::invalid;
  const bool needs_data = request.step == Step::io && !request.digest_only;
  return needs_data && request.data == nullptr ? Status::invalid : Status::ok;
}

}  // namespace

static_assert(sizeof(Request) <= 448, "requests are kept in pools by the thousand");

std::string_view name(Op op) {
  switch (op) {
    case Op::read:
      return "read";
    case Op::write:
      return "write";
    case Op::flush:
      return "flush";
    case Op::discard:
      return "discard";
    case Op::write_zeroes:
      return "write_zeroes";
  }
  return "unknown";
}

Status check_bounds(const Request& request, const Info& info) {
  if (request.step == Step::get && (!request.transfers() || request.digest_only)) return Status::invalid;
  if (request.digest_only && request.op != Op::read) return Status::invalid;
  if (request.fua && !request.changes()) return Status::invalid;
  if (request.fua && info.fua == Support::none) return Status::unsupported;
  if (request.op == Op::flush) return request.bytes == 0 ? payer(info.flush) : Status::invalid;
  if (Status status = check_range(request, info); status != Status::ok) return status;
  if (request.transfers()) return check_transfer(request, info);
  return payer(request.op == Op::discard ? info.discard : info.write_zeroes);
}

}  // namespace mars::xio
