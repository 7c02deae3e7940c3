#include "bricks/fault.h"

namespace mars::bricks {

Fault::Fault(Ready& ready, xio::Output& below, uint64_t seed)
    : Output(ready), prng_(seed), below_(xio::On<&Fault::left>{}, this, this, below) {}

// Every rule of the operation counts the request, also when an earlier one hits.
const FaultRule* Fault::hit(const xio::Request& request) {
  const FaultRule* first = nullptr;
  for (Counted& counted : rules_) {
    const FaultRule& rule = counted.rule;
    if (rule.op != request.op || request.step != xio::Step::io) continue;
    ++counted.seen;
    const bool hits = rule.nth > 0 ? counted.seen == rule.nth : prng_.chance(rule.parts, rule.whole);
    if (hits && first == nullptr) first = &rule;
  }
  return first;
}

void Fault::enter(xio::Request& request) {
  const FaultRule* rule = hit(request);
  if (rule != nullptr) {
    ++injected_;
    if (!rule->done) return complete(request, rule->status);
  }
  below_.enter(request, {rule != nullptr ? rule->status : Status::ok});
}

void Fault::left(xio::Request& request, Aspect aspect) {
  complete(request, aspect.answer != Status::ok ? aspect.answer : request.status);
}

}  // namespace mars::bricks
