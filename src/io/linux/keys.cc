#include "io/linux/keys.h"

#include <utility>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include "base/out_of_memory.h"
#include "io/linux/openssl.h"

namespace mars::io {
namespace {

using BignumPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

// For what fails in no other way than that memory is gone; OpenSSL itself follows such a pointer.
template <class T>
T* made(T* pointer) {
  if (pointer == nullptr) out_of_memory();
  return pointer;
}

// What OpenSSL says of its last error, and forgets it.
std::unexpected<Error> openssl_failure(Status status, const std::string& what) {
  char text[256] = "unknown";
  const unsigned long code = ERR_peek_last_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  // It is not what was given to us that was wrong.
  if (ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE) status = Status::no_space;
  ERR_clear_error();
  return failure(status, what + ": " + text);
}

std::string written(const BioPtr& memory) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(bytes));
}

bool set_serial(X509& certificate) {
  const BignumPtr number(made(BN_new()));
  return BN_rand(number.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr;
}

// For ever: no rule reads a clock.
bool set_validity(X509& certificate) {
  return ASN1_TIME_set_string_X509(X509_getm_notBefore(&certificate), "19700101000000Z") == 1 &&
         ASN1_TIME_set_string_X509(X509_getm_notAfter(&certificate), "99991231235959Z") == 1;
}

bool add_name(X509_NAME* name, const char* field, const std::string& value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

// `text` in OpenSSL's configuration syntax: only for what we wrote ourselves.
bool add_extension(X509& certificate, X509& issuer, int id, const char* text) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, id, text));
  return extension != nullptr && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

// Not through the configuration syntax: a comma in the uri would become a second name.
bool push_name(GENERAL_NAMES* names, int type, const std::string& value) {
  GENERAL_NAME* name = made(GENERAL_NAME_new());
  ASN1_IA5STRING* text = made(ASN1_IA5STRING_new());
  GENERAL_NAME_set0_value(name, type, text);
  if (ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1 &&
      sk_GENERAL_NAME_push(names, name) > 0) {
    return true;
  }
  GENERAL_NAME_free(name);
  return false;
}

// The last part of the uri names the subject for people; at most 64 characters, X.509's bound.
std::string common_name(const std::string& uri) {
  const size_t slash = uri.rfind('/');
  return slash == std::string::npos || slash + 1 == uri.size() ? uri.substr(0, 64) : uri.substr(slash + 1, 64);
}

// Servers of NBD are looked for by their host's name, and where there is any other name of the subject, clients do not
// look at the common name (RFC 6125, 6.4.4; GnuTLS since 3.7.9-2+deb12u7).
NamesPtr names_of(const std::string& uri, const std::string& role) {
  NamesPtr names(made(sk_GENERAL_NAME_new_null()));
  if (!push_name(names.get(), GEN_URI, uri)) return nullptr;
  if (role == "nbd" && !push_name(names.get(), GEN_DNS, common_name(uri))) return nullptr;
  return names;
}

bool fill_ca(X509& certificate, EVP_PKEY& key, const std::string& cluster) {
  X509_NAME* subject = X509_get_subject_name(&certificate);
  return X509_set_version(&certificate, X509_VERSION_3) == 1 && set_serial(certificate) && set_validity(certificate) &&
         add_name(subject, "O", cluster.substr(0, 64)) && add_name(subject, "CN", "MARS cluster CA") &&
         X509_set_issuer_name(&certificate, subject) == 1 && X509_set_pubkey(&certificate, &key) == 1 &&
         add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
         X509_sign(&certificate, &key, EVP_sha256()) > 0;
}

bool fill_leaf(X509& certificate, X509& ca, EVP_PKEY& ca_key, EVP_PKEY& key, const std::string& uri,
               const std::string& role) {
  X509_NAME* subject = X509_get_subject_name(&certificate);
  const NamesPtr names = names_of(uri, role);
  return X509_set_version(&certificate, X509_VERSION_3) == 1 && set_serial(certificate) && set_validity(certificate) &&
         add_name(subject, "OU", role) && add_name(subject, "CN", common_name(uri)) &&
         X509_set_issuer_name(&certificate, X509_get_subject_name(&ca)) == 1 &&
         X509_set_pubkey(&certificate, &key) == 1 &&
         add_extension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, ca, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, ca, NID_ext_key_usage, "serverAuth,clientAuth") &&
         add_extension(certificate, ca, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, ca, NID_authority_key_identifier, "keyid:always") && names != nullptr &&
         X509_add1_ext_i2d(&certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1 &&
         X509_sign(&certificate, &ca_key, EVP_sha256()) > 0;
}

}  // namespace

Result<std::string> OpensslKeys::make_key() {
  const EvpKeyPtr key(EVP_EC_gen("P-256"));
  const BioPtr memory(made(BIO_new(BIO_s_mem())));
  if (key == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_failure(Status::io_error, "cannot make a key");
  }
  return written(memory);
}

Result<KeyPair> OpensslKeys::make_ca(std::string cluster) {
  Result<std::string> key_pem = make_key();
  if (!key_pem) return failure(key_pem.error());
  const EvpKeyPtr key = parse_key(*key_pem);
  const X509Ptr certificate(made(X509_new()));
  if (key == nullptr || !fill_ca(*certificate, *key, cluster)) {
    return openssl_failure(Status::io_error, "cannot make a CA for " + cluster);
  }
  return KeyPair{std::move(*key_pem), certificate_text(*certificate)};
}

Result<std::string> OpensslKeys::make_request(std::string key_pem, std::string uri) {
  const EvpKeyPtr key = parse_key(key_pem);
  if (key == nullptr) return openssl_failure(Status::invalid, "not a private key in PEM");
  const X509RequestPtr request(made(X509_REQ_new()));
  const BioPtr memory(made(BIO_new(BIO_s_mem())));
  const bool done = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    add_name(X509_REQ_get_subject_name(request.get()), "CN", common_name(uri)) &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0 &&
                    PEM_write_bio_X509_REQ(memory.get(), request.get()) == 1;
  if (!done) return openssl_failure(Status::io_error, "cannot make a request for " + uri);
  return written(memory);
}

namespace {
// The first request in the text; null when its signature is not by the key that it names. Anybody can send one, and
// large keys of other kinds take long to verify.
X509RequestPtr signed_request(const std::string& pem, Error& error) {
  X509RequestPtr request = parse_request(pem);
  EVP_PKEY* key = request == nullptr ? nullptr : X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) {
    error = openssl_failure(Status::invalid, "not a certificate request in PEM").error();
    return nullptr;
  }
  if (!hash_of_key(*key)) {
    error = openssl_failure(Status::unsupported, "not a key of the curve P-256").error();
    return nullptr;
  }
  if (X509_REQ_verify(request.get(), key) == 1) return request;
  error = openssl_failure(Status::permission, "the request is not signed by the key that it names").error();
  return nullptr;
}
}  // namespace

Result<std::string> OpensslKeys::sign(const KeyPair& ca, std::string request_pem, std::string uri, std::string role) {
  const X509Ptr ca_certificate = parse_certificate(ca.certificate_pem);
  const EvpKeyPtr ca_key = parse_key(ca.key_pem);
  if (ca_certificate == nullptr || ca_key == nullptr) return openssl_failure(Status::invalid, "not a CA in PEM");
  if (X509_check_private_key(ca_certificate.get(), ca_key.get()) != 1) {
    return openssl_failure(Status::permission, "the CA's key is not that of its certificate");
  }
  Error error = Status::ok;
  const X509RequestPtr request = signed_request(request_pem, error);
  if (request == nullptr) return failure(error);
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  const X509Ptr certificate(made(X509_new()));
  if (!fill_leaf(*certificate, *ca_certificate, *ca_key, *key, uri, role)) {
    return openssl_failure(Status::invalid, "cannot sign for " + uri);
  }
  return certificate_text(*certificate);
}

namespace {
Result<Sha256> hash_or_refusal(EVP_PKEY& key) {
  const std::optional<Sha256> hash = hash_of_key(key);
  ERR_clear_error();
  if (!hash) return failure(Status::unsupported, "not a key of the curve P-256");
  return *hash;
}
}  // namespace

Result<Sha256> OpensslKeys::public_key_hash(std::string pem) {
  if (const X509Ptr certificate = parse_certificate(pem)) {
    if (EVP_PKEY* key = X509_get0_pubkey(certificate.get())) return hash_or_refusal(*key);
  }
  if (const X509RequestPtr request = parse_request(pem)) {
    if (EVP_PKEY* key = X509_REQ_get0_pubkey(request.get())) return hash_or_refusal(*key);
  }
  const EvpKeyPtr key = parse_key(pem);
  if (key == nullptr) return openssl_failure(Status::invalid, "neither a certificate, a request nor a key in PEM");
  return hash_or_refusal(*key);
}

Result<Sha256> OpensslKeys::request_key_hash(std::string request_pem) {
  Error error = Status::ok;
  const X509RequestPtr request = signed_request(request_pem, error);
  if (request == nullptr) return failure(error);
  return hash_or_refusal(*X509_REQ_get0_pubkey(request.get()));
}

Sha256 OpensslKeys::sha256(std::span<const std::byte> bytes) { return sha256_of(bytes); }

}  // namespace mars::io
