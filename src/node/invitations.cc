#include "node/invitations.h"

#include <utility>

#include "node/json.h"
#include "node/text.h"

namespace mars::node {

namespace {

// Longer than any token lives, so that its joiner may repeat.
constexpr uint64_t keep_ns = 30ull * 24 * 3600 * 1'000'000'000;

}  // namespace

Invitations::Invitations(io::Machine& machine, std::string path)
    : machine_(machine), path_(std::move(path)), turn_(machine.ready(), 1) {}

Task<Result<void>> Invitations::open() {
  Result<Json> json = co_await read_json(machine_, path_);
  if (!json && json.error().status == Status::not_found) co_return Result<void>{};
  if (!json) co_return failure(json.error());
  bool is_whole = true;
  Fields fields(*json);
  fields.each("invitations", [&](const Json& item) {
    Fields one(item);
    std::string hash, burnt;
    Invitation invitation;
    one.get("secret", hash);
    one.get("expires_ns", invitation.expires_ns);
    one.get("burnt_by", burnt);
    const auto bytes = unhex<32>(hash);
    is_whole = is_whole && one.ok() && bytes;
    if (bytes) invitation.secret_hash = *bytes;
    if (!burnt.empty()) invitation.burnt_by = unhex<32>(burnt).value_or(io::Sha256{});
    invitations_.push_back(invitation);
  });
  if (is_whole && fields.ok()) co_return Result<void>{};
  invitations_.clear();  // who was invited is invited again; nothing is accepted that is not understood
  co_return failure(Status::damaged, path_ + " is damaged: tokens that were given out are worth nothing any more");
}

Task<Result<void>> Invitations::save() {
  Json list = Json::array();
  for (const Invitation& one : invitations_) {
    Json item = {{"secret", hex(one.secret_hash)}, {"expires_ns", one.expires_ns}};
    if (one.burnt_by) item["burnt_by"] = hex(*one.burnt_by);
    list.push_back(std::move(item));
  }
  Json json = {{"invitations", std::move(list)}};
  const Status status = co_await write_json(machine_, path_, std::move(json));
  if (status != Status::ok) co_return failure(status, "cannot write " + path_ + ": " + std::string(name(status)));
  co_return Result<void>{};
}

void Invitations::forget_old() {
  const auto now = static_cast<uint64_t>(machine_.wall_now().count());
  std::erase_if(invitations_, [&](const Invitation& one) { return one.expires_ns + keep_ns < now; });
  const auto open =
      static_cast<size_t>(std::ranges::count_if(invitations_, [](const Invitation& one) { return !one.burnt_by; }));
  size_t surplus = open > open_max ? open - open_max : 0;
  std::erase_if(invitations_, [&](const Invitation& one) {
    if (one.burnt_by || surplus == 0) return false;
    --surplus;
    return true;
  });
}

Task<Result<Secret>> Invitations::invite(io::Duration valid) {
  Secret secret;
  machine_.random_bytes(std::as_writable_bytes(std::span(secret)));
  Invitation invitation;
  invitation.secret_hash = machine_.keys().sha256(std::as_bytes(std::span(secret)));
  invitation.expires_ns = static_cast<uint64_t>((machine_.wall_now() + valid).count());
  co_await turn_.acquire();
  forget_old();
  invitations_.push_back(invitation);
  Result<void> saved = co_await save();
  if (!saved) invitations_.pop_back();
  turn_.release(1);
  if (!saved) co_return failure(saved.error());
  co_return secret;
}

Task<Result<void>> Invitations::burn(Secret secret, io::Sha256 key) {
  const io::Sha256 hash = machine_.keys().sha256(std::as_bytes(std::span(secret)));
  co_await turn_.acquire();
  auto found = std::find_if(invitations_.begin(), invitations_.end(),
                            [&](const Invitation& one) { return one.secret_hash == hash; });
  const std::string next = "; make a new one with `marsadm invite`";
  Result<void> result;
  if (found == invitations_.end()) {
    result = failure(Status::permission, "this token is not known here" + next);
  } else if (found->burnt_by) {
    if (*found->burnt_by != key) result = failure(Status::permission, "this token was used by another host" + next);
  } else if (static_cast<uint64_t>(machine_.wall_now().count()) > found->expires_ns) {
    result = failure(Status::permission, "this token has expired" + next);
  } else {
    found->burnt_by = key;
    result = co_await save();
    if (!result) invitations_[static_cast<size_t>(found - invitations_.begin())].burnt_by.reset();
  }
  turn_.release(1);
  co_return result;
}

}  // namespace mars::node
