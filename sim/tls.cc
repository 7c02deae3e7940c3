#include "sim/tls.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "sim/keys.h"

namespace mars::sim {
namespace {

constexpr uint32_t magic = 0x534c5431;
constexpr size_t text_bytes_max = 64 << 10;

enum class Message : uint8_t { hello = 1, credentials = 2, alert = 3 };

struct Credentials {
  std::string certificate_pem;  // empty: none
  std::string ca_pem;           // what the sender was given to trust, which is its own CA
  std::string proof;            // the public key of the private key that the sender has
};

struct Received {
  Message message = Message::alert;
  Credentials credentials;
};

Task<Status> send(io::Stream& stream, Message message, Credentials credentials) {
  std::vector<std::byte> frame;
  Writer writer(frame);
  writer.u32(magic);
  writer.u8(static_cast<uint8_t>(message));
  for (const std::string* text : {&credentials.certificate_pem, &credentials.ca_pem, &credentials.proof}) {
    writer.u32(static_cast<uint32_t>(text->size()));
  }
  for (const std::string* text : {&credentials.certificate_pem, &credentials.ca_pem, &credentials.proof}) {
    writer.text(*text);
  }
  co_return co_await io::write_all(stream, frame);
}

// Whatever is not of this protocol proves nothing: permission.
Task<Result<Received>> receive(io::Stream& stream, Message expected) {
  std::vector<std::byte> head(17);
  Status status = co_await io::read_all(stream, head);
  if (status != Status::ok) co_return failure(Status::gone);
  Reader reader(head);
  Received received;
  const bool is_ours = reader.u32() == magic;
  received.message = static_cast<Message>(reader.u8());
  if (!is_ours || (received.message != expected && received.message != Message::alert)) {
    co_return failure(Status::permission, "the other side does not speak TLS");
  }
  for (std::string* text :
       {&received.credentials.certificate_pem, &received.credentials.ca_pem, &received.credentials.proof}) {
    const uint32_t bytes = reader.u32();
    if (bytes > text_bytes_max) co_return failure(Status::permission, "a malformed handshake");
    text->resize(bytes);
    status = co_await io::read_all(stream, std::as_writable_bytes(std::span(*text)));
    if (status != Status::ok) co_return failure(Status::gone);
  }
  co_return std::move(received);
}

std::string text_of_hash(const io::Sha256& hash) {
  return std::string(reinterpret_cast<const char*>(hash.data()), hash.size());
}

std::optional<Credentials> own(const io::TlsConfig& config) {
  if (config.certificate_pem.empty()) return Credentials{};
  auto certificate = parse_certificate(config.certificate_pem);
  auto key = public_of(config.key_pem);
  if (!certificate || !key || certificate->key != *key) return std::nullopt;
  return Credentials{config.certificate_pem, config.ca_pem, text_of_hash(*key)};
}

Result<io::PeerIdentity> judge(const io::TlsConfig& config, const Credentials& peer, bool must_show) {
  if (peer.certificate_pem.empty()) {
    if (must_show) return failure(Status::permission, "the peer showed no certificate");
    return io::PeerIdentity{};
  }
  auto certificate = parse_certificate(peer.certificate_pem);
  if (!certificate || peer.proof != text_of_hash(certificate->key)) {
    return failure(Status::permission, "the peer's certificate is damaged or not its own");
  }
  const std::string& trusted_pem = config.ca_key ? peer.ca_pem : config.ca_pem;
  auto trusted = parse_certificate(trusted_pem);
  const bool is_trusted = trusted && trusted->role == "ca" && certificate->issuer == trusted->key &&
                          (!config.ca_key || *config.ca_key == trusted->key);
  if (!is_trusted) return failure(Status::permission, "the peer's certificate is of a foreign CA");
  io::PeerIdentity identity{true, certificate->uri, certificate->role, certificate->key, ""};
  if (config.ca_key) identity.ca_pem = trusted_pem;
  return identity;
}

Task<Result<io::PeerIdentity>> as_client(io::Stream& stream, const io::TlsConfig& config, Credentials mine) {
  Credentials none;
  if (co_await send(stream, Message::hello, std::move(none)) != Status::ok) co_return failure(Status::gone);
  auto answer = co_await receive(stream, Message::credentials);
  if (!answer) co_return failure(answer.error());
  if (answer->message == Message::alert) co_return failure(Status::gone);
  auto identity = judge(config, answer->credentials, true);
  const Message last = identity ? Message::credentials : Message::alert;
  const Status status = co_await send(stream, last, std::move(mine));
  if (identity && status != Status::ok) co_return failure(Status::gone);
  co_return identity;
}

Task<Result<io::PeerIdentity>> as_server(io::Stream& stream, const io::TlsConfig& config, Credentials mine) {
  auto hello = co_await receive(stream, Message::hello);
  if (!hello) co_return failure(hello.error());
  if (co_await send(stream, Message::credentials, std::move(mine)) != Status::ok) co_return failure(Status::gone);
  auto answer = co_await receive(stream, Message::credentials);
  if (!answer) co_return failure(answer.error());
  if (answer->message == Message::alert) co_return failure(Status::permission, "the client refused our certificate");
  co_return judge(config, answer->credentials, config.needs_peer_certificate);
}

}  // namespace

Task<Result<io::PeerIdentity>> handshake(io::Stream& stream, io::TlsConfig config, io::Side side) {
  auto mine = own(config);
  if (!mine || (side == io::Side::server && mine->certificate_pem.empty())) {
    co_return failure(Status::invalid, "our own certificate and key do not fit");
  }
  if (side == io::Side::client) co_return co_await as_client(stream, config, std::move(*mine));
  co_return co_await as_server(stream, config, std::move(*mine));
}

}  // namespace mars::sim
