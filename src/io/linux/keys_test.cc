#include "io/linux/keys.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "io/linux/openssl.h"

namespace mars::io {
namespace {

constexpr const char* host_uri = "mars:5c0fd2de-54c9-4b8c-8b0b-0a7d5b1dbd6c/host/7a4b1c9e-2f5d-4d8c-a1e2-93b0c7f6e5d4";

class KeysTest : public testing::Test {
 protected:
  std::string make_key() {
    auto key = keys_.make_key();
    CHECK(key.has_value());
    return *key;
  }
  std::string request_of(const std::string& key) {
    auto request = keys_.make_request(key, "mars:other/host/liar");
    CHECK(request.has_value());
    return *request;
  }
  KeyPair make_ca() {
    auto ca = keys_.make_ca("5c0fd2de-54c9-4b8c-8b0b-0a7d5b1dbd6c");
    CHECK(ca.has_value());
    return *ca;
  }

  OpensslKeys keys_;
};

TEST_F(KeysTest, certificate_says_what_was_signed_and_not_what_was_asked) {
  const std::string key = make_key();
  const auto signed_pem = keys_.sign(make_ca(), request_of(key), host_uri, "host");
  ASSERT_TRUE(signed_pem) << signed_pem.error().text;
  const X509Ptr certificate = parse_certificate(*signed_pem);
  ASSERT_NE(certificate, nullptr);
  EXPECT_EQ(uri_of(*certificate), host_uri);
  EXPECT_EQ(role_of(*certificate), "host");
}

// Somebody else's certificate beside a request of one's own.
TEST_F(KeysTest, of_several_blocks_the_request_alone_counts_where_one_is_signed) {
  const std::string theirs = make_key(), mine = make_key();
  const auto certificate = keys_.sign(make_ca(), request_of(theirs), host_uri, "host");
  const std::string both = *certificate + request_of(mine);
  EXPECT_EQ(*keys_.request_key_hash(both), *keys_.public_key_hash(mine));
  EXPECT_EQ(*keys_.public_key_hash(*keys_.sign(make_ca(), both, host_uri, "host")), *keys_.public_key_hash(mine));
  EXPECT_EQ(status_of(keys_.request_key_hash(*certificate)), Status::invalid);
  EXPECT_EQ(status_of(keys_.request_key_hash(mine)), Status::invalid);
}

TEST_F(KeysTest, key_request_and_certificate_have_one_hash) {
  const std::string key = make_key();
  const std::string request = request_of(key);
  const auto certificate = keys_.sign(make_ca(), request, host_uri, "host");
  EXPECT_EQ(*keys_.public_key_hash(key), *keys_.public_key_hash(request));
  EXPECT_EQ(*keys_.public_key_hash(key), *keys_.public_key_hash(*certificate));
  EXPECT_NE(*keys_.public_key_hash(key), *keys_.public_key_hash(make_key()));
}

TEST_F(KeysTest, certificate_is_valid_for_ever) {
  const auto pem = keys_.sign(make_ca(), request_of(make_key()), host_uri, "host");
  const X509Ptr certificate = parse_certificate(*pem);
  EXPECT_EQ(ASN1_TIME_cmp_time_t(X509_get0_notBefore(certificate.get()), 0), 0);
  EXPECT_GT(ASN1_TIME_cmp_time_t(X509_get0_notAfter(certificate.get()), 253'000'000'000), 0);
}

TEST_F(KeysTest, each_key_is_another) { EXPECT_NE(make_key(), make_key()); }

TEST_F(KeysTest, uri_with_commas_stays_one_name) {
  const std::string uri = "mars:x/host/y,URI:mars:x/host/z";
  const auto pem = keys_.sign(make_ca(), request_of(make_key()), uri, "host");
  ASSERT_TRUE(pem);
  EXPECT_EQ(uri_of(*parse_certificate(*pem)), uri);
}

TEST_F(KeysTest, forged_request_is_not_signed) {
  std::string request = request_of(make_key());
  const std::string other = request_of(make_key());
  // The signature of another request: the last lines change places.
  const size_t at = request.size() - 120;
  request = request.substr(0, at) + other.substr(other.size() - 120);
  const auto pem = keys_.sign(make_ca(), request, host_uri, "host");
  ASSERT_FALSE(pem);
  EXPECT_TRUE(pem.error().status == Status::permission || pem.error().status == Status::invalid);
}

TEST_F(KeysTest, key_of_another_ca_does_not_sign) {
  KeyPair ca = make_ca();
  ca.key_pem = make_key();
  EXPECT_EQ(status_of(keys_.sign(ca, request_of(make_key()), host_uri, "host")), Status::permission);
}

TEST_F(KeysTest, nonsense_is_invalid) {
  EXPECT_EQ(status_of(keys_.public_key_hash("nonsense")), Status::invalid);
  EXPECT_EQ(status_of(keys_.make_request("nonsense", host_uri)), Status::invalid);
  EXPECT_EQ(status_of(keys_.sign(make_ca(), "nonsense", host_uri, "host")), Status::invalid);
  EXPECT_EQ(status_of(keys_.sign({"nonsense", "too"}, request_of(make_key()), host_uri, "host")), Status::invalid);
}

// OpenSSL reads keys that it cannot write again; nobody here has one of another kind.
TEST_F(KeysTest, keys_of_other_kinds_are_refused) {
  const EvpKeyPtr rsa(EVP_RSA_gen(2048));
  const EvpKeyPtr curve(EVP_EC_gen("P-384"));
  for (EVP_PKEY* key : {rsa.get(), curve.get()}) {
    const BioPtr memory(BIO_new(BIO_s_mem()));
    ASSERT_EQ(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr), 1);
    char* data = nullptr;
    const long bytes = BIO_get_mem_data(memory.get(), &data);
    const std::string pem(data, static_cast<size_t>(bytes));
    EXPECT_EQ(status_of(keys_.public_key_hash(pem)), Status::unsupported);
    EXPECT_EQ(hash_of_key(*key), std::nullopt);
  }
}

TEST_F(KeysTest, sha256_of_nothing_is_the_known_one) {
  const Sha256 hash = keys_.sha256({});
  EXPECT_EQ(hash[0], std::byte{0xe3});
  EXPECT_EQ(hash[31], std::byte{0x55});
}

}  // namespace
}  // namespace mars::io
