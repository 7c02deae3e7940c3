// Owners of OpenSSL's objects, and its PEM texts. Included by keys.cc, certificate.cc and tls.cc only.
#pragma once

#include <memory>
#include <string>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "io/network.h"

namespace mars::io {

template <auto free_function>
struct FreeWith {
  void operator()(auto* object) const { free_function(object); }
};

using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using EvpKeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using X509RequestPtr = std::unique_ptr<X509_REQ, FreeWith<X509_REQ_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;

// Null when the text does not parse.
X509Ptr parse_certificate(const std::string& pem);
EvpKeyPtr parse_key(const std::string& pem);
X509RequestPtr parse_request(const std::string& pem);

std::string certificate_text(X509& certificate);

// SHA-256 of the SubjectPublicKeyInfo. Nothing of a key that is not of our kind, P-256: OpenSSL reads keys of others
// that it cannot write.
std::optional<Sha256> hash_of_key(EVP_PKEY& key);
Sha256 sha256_of(std::span<const std::byte> bytes);

// The only URI among the subject's alternative names, and the organisational unit (the role); empty when there is none.
std::string uri_of(X509& certificate);
std::string role_of(X509& certificate);

}  // namespace mars::io
