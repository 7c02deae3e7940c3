#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/out_of_memory.h"
#include "io/linux/openssl.h"

namespace mars::io {
namespace {

BioPtr reader(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

// A text with a zero byte inside is a forgery, not a name.
std::string text_of(const ASN1_STRING* value) {
  std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                   static_cast<size_t>(ASN1_STRING_length(value)));
  return text.find('\0') == std::string::npos ? text : "";
}

// OpenSSL would ask on the terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

X509Ptr parse_certificate(const std::string& pem) {
  return X509Ptr(PEM_read_bio_X509(reader(pem).get(), nullptr, no_passphrase, nullptr));
}

EvpKeyPtr parse_key(const std::string& pem) {
  return EvpKeyPtr(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_passphrase, nullptr));
}

X509RequestPtr parse_request(const std::string& pem) {
  return X509RequestPtr(PEM_read_bio_X509_REQ(reader(pem).get(), nullptr, no_passphrase, nullptr));
}

std::string certificate_text(X509& certificate) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(memory.get(), &certificate) != 1) out_of_memory();  // nothing else can go wrong
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(bytes));
}

Sha256 sha256_of(std::span<const std::byte> bytes) {
  Sha256 hash;
  const unsigned char* const made = ::SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                                             reinterpret_cast<unsigned char*>(hash.data()));
  if (made == nullptr) out_of_memory();  // a wrong hash would be taken for somebody else's key
  return hash;
}

std::optional<Sha256> hash_of_key(EVP_PKEY& key) {
  char curve[64] = {};
  size_t length = 0;
  if (EVP_PKEY_get_group_name(&key, curve, sizeof curve, &length) != 1) return std::nullopt;
  if (std::string_view(curve, length) != SN_X9_62_prime256v1) return std::nullopt;
  unsigned char* encoded = nullptr;
  const int bytes = i2d_PUBKEY(&key, &encoded);
  if (bytes <= 0) return std::nullopt;
  const Sha256 hash = sha256_of({reinterpret_cast<const std::byte*>(encoded), static_cast<size_t>(bytes)});
  OPENSSL_free(encoded);
  return hash;
}

std::string uri_of(X509& certificate) {
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string uri;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (!uri.empty()) return "";
    uri = text_of(name->d.uniformResourceIdentifier);
  }
  return uri;
}

std::string role_of(X509& certificate) {
  X509_NAME* subject = X509_get_subject_name(&certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, -1);
  if (index < 0 || X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, index) >= 0) return "";
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

}  // namespace mars::io
