#include "io/linux/tls.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <openssl/err.h>

#include "base/check.h"
#include "base/out_of_memory.h"
#include "io/linux/openssl.h"

namespace mars::io {
namespace {

constexpr size_t input_bytes = size_t{64} * 1024;
// A peer that sends nothing but questions for new keys, and one that reads nothing, may cost no more than this.
constexpr uint32_t key_updates_max = 32;
constexpr size_t output_bytes_max = size_t{8} << 20;

// Encrypted bytes on their way in and out, which OpenSSL sees as a BIO.
struct Wire {
  std::vector<std::byte> input = std::vector<std::byte>(input_bytes);
  size_t input_begin = 0;
  size_t input_end = 0;
  std::vector<std::byte> output;
  size_t output_begin = 0;
  // Since something was received that was no question for new keys. Each costs a derivation and an answer.
  uint32_t key_updates = 0;
  bool is_flooded() const { return key_updates > key_updates_max || output.size() - output_begin > output_bytes_max; }
};

void on_message(int is_written, int, int content, const void* data, size_t bytes, SSL*, void* wire) {
  const bool is_key_update = is_written == 0 && content == SSL3_RT_HANDSHAKE && bytes > 0 &&
                             *static_cast<const unsigned char*>(data) == SSL3_MT_KEY_UPDATE;
  if (is_key_update) ++static_cast<Wire*>(wire)->key_updates;
}

int wire_write(BIO* bio, const char* data, size_t bytes, size_t* written) {
  auto& output = static_cast<Wire*>(BIO_get_data(bio))->output;
  const auto* first = reinterpret_cast<const std::byte*>(data);
  output.insert(output.end(), first, first + bytes);
  *written = bytes;
  return 1;
}

int wire_read(BIO* bio, char* into, size_t bytes, size_t* count) {
  Wire& wire = *static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *count = wire.is_flooded() ? 0 : std::min(bytes, wire.input_end - wire.input_begin);
  if (*count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(into, wire.input.data() + wire.input_begin, *count);
  wire.input_begin += *count;
  return 1;
}

long wire_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* wire_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (made == nullptr) out_of_memory();
    BIO_meth_set_write_ex(made, wire_write);
    BIO_meth_set_read_ex(made, wire_read);
    BIO_meth_set_ctrl(made, wire_control);
    return made;
  }();
  return method;
}

std::string last_error() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown TLS error";
}

// The peer's alerts that mean: I do not accept you.
bool is_rejection(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

class OpensslSession final : public TlsSession {
 public:
  OpensslSession(TlsConfig config, Side side) : config_(std::move(config)), side_(side) {}

  Status open(std::string& why);
  Step handshake() override;
  Step read(std::span<std::byte> into, size_t& bytes) override;
  bool write(std::span<const std::byte> from) override;
  void write_end() override;
  Result<PeerIdentity> identity() override;
  Error failure_reason() const override { return reason_; }

  std::span<const std::byte> output() const override { return std::span(wire_.output).subspan(wire_.output_begin); }
  void consume_output(size_t bytes) override;
  std::span<std::byte> input_room() override;
  void commit_input(size_t bytes) override { wire_.input_end += bytes; }

 private:
  bool use_own_identity();
  bool trust();
  void demand_certificate();
  static int verify_by_key(X509_STORE_CTX* store, void* self);
  bool verify_by_key(X509_STORE_CTX& store);
  Step step_of(int result);

  const TlsConfig config_;
  const Side side_;
  Wire wire_;
  std::string ca_pem_;  // what the peer sent and ca_key matched
  bool is_handshaken_ = false;
  Error reason_ = Status::gone;
  SslContextPtr context_;
  SslPtr ssl_;
};

Status OpensslSession::open(std::string& why) {
  if (config_.key_pem.empty() != config_.certificate_pem.empty() ||
      (side_ == Side::server && config_.key_pem.empty())) {
    why = "a key and a certificate belong together";
    return Status::invalid;
  }
  context_.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* context = context_.get();
  // Curves only: with the large groups of the default list a stranger's few bytes would cost 10 ms each.
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1 ||
      SSL_CTX_set_ciphersuites(context,
                               "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                               "TLS_CHACHA20_POLY1305_SHA256") != 1) {
    why = "TLS 1.3 is not to be had: " + last_error();
    return Status::unsupported;
  }
  // No resumption: who is there is proven anew each time.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  if (!use_own_identity() || !trust()) {
    why = "cannot use the key, the certificate or the CA: " + last_error();
    return Status::invalid;
  }
  demand_certificate();
  ssl_.reset(SSL_new(context));
  BIO* bio = BIO_new(wire_method());
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    why = "cannot begin a session: " + last_error();
    return Status::io_error;
  }
  BIO_set_data(bio, &wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_msg_callback(ssl_.get(), on_message);
  SSL_set_msg_callback_arg(ssl_.get(), &wire_);
  side_ == Side::server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  return Status::ok;
}

bool OpensslSession::use_own_identity() {
  if (config_.key_pem.empty()) return true;
  const X509Ptr certificate = parse_certificate(config_.certificate_pem);
  const EvpKeyPtr key = parse_key(config_.key_pem);
  return certificate != nullptr && key != nullptr && SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1 &&
         SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1 && SSL_CTX_check_private_key(context_.get()) == 1;
}

bool OpensslSession::trust() {
  if (config_.ca_pem.empty()) return config_.ca_key.has_value() && side_ == Side::client;
  const X509Ptr ca = parse_certificate(config_.ca_pem);
  if (ca == nullptr || X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), ca.get()) != 1) return false;
  // A joiner knows the CA by its key alone, so a server sends the certificate along.
  return side_ == Side::client || SSL_CTX_add1_chain_cert(context_.get(), ca.get()) == 1;
}

void OpensslSession::demand_certificate() {
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_.get()), X509_V_FLAG_NO_CHECK_TIME);
  const bool is_needed = side_ == Side::client || config_.needs_peer_certificate;
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | (is_needed ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  if (config_.ca_key && config_.ca_pem.empty()) {
    SSL_CTX_set_cert_verify_callback(context_.get(), &OpensslSession::verify_by_key, this);
  }
}

int OpensslSession::verify_by_key(X509_STORE_CTX* store, void* self) {
  return static_cast<OpensslSession*>(self)->verify_by_key(*store) ? 1 : 0;
}

// Finds the CA among the certificates that the peer sent, and verifies with it as the only root. Its own signature is
// checked here: OpenSSL takes a root as it is, but we shall keep this one.
bool OpensslSession::verify_by_key(X509_STORE_CTX& store) {
  STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(&store);
  for (int i = 0; i < sk_X509_num(sent); ++i) {
    X509* candidate = sk_X509_value(sent, i);
    EVP_PKEY* key = X509_get0_pubkey(candidate);
    if (key == nullptr || hash_of_key(*key) != *config_.ca_key || X509_verify(candidate, key) != 1) continue;
    STACK_OF(X509)* roots = sk_X509_new_null();
    sk_X509_push(roots, candidate);
    X509_STORE_CTX_set0_trusted_stack(&store, roots);
    const bool is_valid = X509_verify_cert(&store) == 1;
    sk_X509_free(roots);
    if (is_valid) ca_pem_ = certificate_text(*candidate);
    return is_valid;
  }
  X509_STORE_CTX_set_error(&store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
  return false;
}

TlsSession::Step OpensslSession::step_of(int result) {
  if (result == 1) return Step::done;
  if (wire_.is_flooded()) {
    reason_ = Error(Status::gone, "TLS: the peer only asks for new keys, or does not read what it asks for");
    return Step::failed;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return Step::needs_input;
  if (error == SSL_ERROR_ZERO_RETURN) return Step::closed;
  const int reason = ERR_GET_REASON(ERR_peek_error());
  const long verdict = SSL_get_verify_result(ssl_.get());
  const bool is_refused = !is_handshaken_ || is_rejection(reason);
  std::string text = last_error();
  if (verdict != X509_V_OK) text += fmt::format(" ({})", X509_verify_cert_error_string(verdict));
  reason_ = Error(is_refused ? Status::permission : Status::gone, "TLS: " + text);
  return Step::failed;
}

TlsSession::Step OpensslSession::handshake() {
  ERR_clear_error();
  const Step step = step_of(SSL_do_handshake(ssl_.get()));
  is_handshaken_ = step == Step::done;
  return step;
}

TlsSession::Step OpensslSession::read(std::span<std::byte> into, size_t& bytes) {
  ERR_clear_error();
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes);
  if (result == 1 && bytes > 0) wire_.key_updates = 0;
  return step_of(result);
}

bool OpensslSession::write(std::span<const std::byte> from) {
  ERR_clear_error();
  size_t bytes = 0;
  return step_of(SSL_write_ex(ssl_.get(), from.data(), from.size(), &bytes)) == Step::done && bytes == from.size();
}

void OpensslSession::write_end() {
  if (is_handshaken_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Result<PeerIdentity> OpensslSession::identity() {
  PeerIdentity identity;
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return identity;
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  identity.uri = uri_of(*certificate);
  identity.role = role_of(*certificate);
  if (key == nullptr || identity.uri.empty() || identity.role.empty()) {
    return failure(Status::permission, "the peer's certificate names no host and role of this cluster");
  }
  identity.is_authenticated = true;
  const std::optional<Sha256> hash = hash_of_key(*key);
  if (!hash) return failure(Status::permission, "the peer's key is not of the curve P-256");
  identity.key = *hash;
  identity.ca_pem = ca_pem_;
  return identity;
}

void OpensslSession::consume_output(size_t bytes) {
  wire_.output_begin += bytes;
  if (wire_.output_begin < wire_.output.size()) return;
  wire_.output.clear();
  wire_.output_begin = 0;
}

std::span<std::byte> OpensslSession::input_room() {
  if (wire_.input_begin > 0) {
    std::memmove(wire_.input.data(), wire_.input.data() + wire_.input_begin, wire_.input_end - wire_.input_begin);
    wire_.input_end -= std::exchange(wire_.input_begin, 0);
  }
  return std::span(wire_.input).subspan(wire_.input_end);
}

}  // namespace

Result<std::unique_ptr<TlsSession>> TlsSession::make(const TlsConfig& config, Side side) {
  auto session = std::make_unique<OpensslSession>(config, side);
  std::string why;
  const Status status = session->open(why);
  if (status != Status::ok) return failure(status, why);
  return session;
}

}  // namespace mars::io
