#include "net/joiner.h"

#include <utility>

namespace mars::net {
namespace {

// The hash of the CA's key in the token is the proof; there is nothing more to decide.
class OpenDoor : public Doorkeeper {
 public:
  Error admit(const io::PeerIdentity&, const format::Hello&) override { return Status::ok; }
  Error proceed(const io::PeerIdentity&) override { return Status::ok; }
  Bytes extra() override { return {}; }
};

Task<void> drive(Session& session) {
  static_cast<void>(co_await session.run());
  co_await session.finish();
}

}  // namespace

Joiner::Joiner(io::Machine& machine, JoinerOptions options)
    : machine_(machine), options_(std::move(options)), scope_(machine.ready()) {}

Joiner::~Joiner() = default;

Task<Result<std::unique_ptr<Channel>>> Joiner::call(Bytes opening) {
  Result<std::unique_ptr<io::Stream>> stream = co_await machine_.network().connect(options_.address);
  if (!stream) co_return failure(Status::unreachable, stream.error().text);
  Introduction mine;
  mine.tls = options_.tls;
  mine.hello.role = format::PeerRole::joiner;
  mine.hello.cluster = options_.cluster;
  mine.hello.host = options_.host;
  mine.hello.host_name = options_.name;
  OpenDoor door;
  Result<Contact> contact = co_await shake_hands(machine_, std::move(*stream), mine, door, options_.times.handshake);
  if (!contact) co_return failure(contact.error());
  identity_ = contact->identity;
  local_address_ = contact->stream->local_address();
  session_ = std::make_unique<Session>(machine_, options_.times, nothing_, scope_, std::move(*contact));
  scope_.spawn(drive(*session_));
  co_return session_->open(join_service, std::move(opening));
}

void Joiner::give_up() {
  if (session_ != nullptr) session_->close({Status::stopped, "the joining host has ended the conversation"});
}

Task<void> Joiner::stop() {
  give_up();
  co_await scope_.join();
}

}  // namespace mars::net
