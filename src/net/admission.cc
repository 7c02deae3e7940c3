#include "net/admission.h"

namespace mars::net {

Admission decide_admission(const std::optional<Claim>& existing, bool is_silent, const Claim& candidate) {
  if (!existing) return Admission::take;
  if (is_silent) return Admission::replace;
  if (existing->incarnation != candidate.incarnation) return Admission::refuse_second;
  // The same dialler calls again only when it has given up the former connection, which we have not heard of yet.
  if (existing->is_dialled_by_smaller == candidate.is_dialled_by_smaller) return Admission::replace;
  return candidate.is_dialled_by_smaller ? Admission::replace : Admission::refuse_crossing;
}

}  // namespace mars::net
