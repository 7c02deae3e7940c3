#include "xio/info.h"

#include <string_view>

namespace mars::xio {
namespace {

std::string_view name(Support support) {
  switch (support) {
    case Support::none:
      return "none";
    case Support::emulated:
      return "emulated";
    case Support::native:
      return "native";
  }
  return "unknown";
}

bool lost(Support promised, Support offered) { return promised != Support::none && offered == Support::none; }

}  // namespace

const char* stricter(const Info& promised, const Info& offered) {
  if (offered.bytes < promised.bytes) return "size";
  if (offered.block_bytes > promised.block_bytes) return "block size";
  if (offered.alignment > promised.alignment) return "alignment of buffers";
  if (offered.atomic_bytes < promised.atomic_bytes) return "atomic unit";
  if (offered.bytes_max < promised.bytes_max) return "longest request";
  if (lost(promised.flush, offered.flush)) return "flush";
  if (lost(promised.fua, offered.fua)) return "fua";
  if (lost(promised.discard, offered.discard)) return "discard";
  if (lost(promised.write_zeroes, offered.write_zeroes)) return "write_zeroes";
  return nullptr;
}

std::string to_string(const Info& info) {
  std::string text = "size " + std::to_string(info.bytes) + ", block " + std::to_string(info.block_bytes) + ", align " +
                     std::to_string(info.alignment) + ", atomic " + std::to_string(info.atomic_bytes) + ", max " +
                     std::to_string(info.bytes_max);
  const std::pair<const char*, Support> payers[] = {
      {", flush ", info.flush}, {", fua ", info.fua}, {", discard ", info.discard}, {", zeroes ", info.write_zeroes}};
  for (auto [what, support] : payers) text.append(what).append(name(support));
  if (info.rotational) text += ", rotational";
  return text;
}

}  // namespace mars::xio
