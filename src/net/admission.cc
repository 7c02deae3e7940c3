#include "net/admission.h"

namespace mars::net {

std::string_view name(Admission admission) {
  switch (admission) {
    case Admission::take:
      return "take";
    case Admission::replace:
      return "replace";
    case Admission::refuse_crossing:
      return "refuse_crossing";
    case Admission::refuse_second:
      return "refuse_second";
  }
  return "unknown";
}

Admission decide_admission(const std::optional<Claim>& existing, bool is_silent, const Claim& candidate) {
  if (!existing) return Admission::take;
  if (is_silent) return Admission::replace;
  if (existing->incarnation != candidate.incarnation) return Admission::refuse_second;
  // The same dialler calls again only when it has given up the former connection, which we have not heard of yet.
  if (existing->is_dialled_by_smaller == candidate.is_dialled_by_smaller) return Admission::replace;
  return candidate.is_dialled_by_smaller ? Admission::replace : Admission::refuse_crossing;
}

}  // namespace mars::net
