// Identity: the client_id of each mode, and every certificate that leaves it in doubt.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tls/identity.h"
#include "tls/openssl_ptr.h"

namespace sink::tls::test {
namespace {

X509Ptr with_common_names(const std::vector<std::string>& names, int type = MBSTRING_UTF8) {
  X509Ptr certificate(X509_new());
  for (const std::string& name : names) {
    // Straight into an entry: the convenience functions would refuse some of these.
    X509_NAME_ENTRY* entry = X509_NAME_ENTRY_create_by_NID(
        nullptr, NID_commonName, type, reinterpret_cast<const unsigned char*>("x"), 1);
    REQUIRE(entry != nullptr);
    ASN1_STRING_set(X509_NAME_ENTRY_get_data(entry), name.data(), static_cast<int>(name.size()));
    X509_NAME_add_entry(X509_get_subject_name(certificate.get()), entry, -1, 0);
    X509_NAME_ENTRY_free(entry);
  }
  return certificate;
}

struct AlternativeName {
  int type;
  std::string text;
};

X509Ptr with_alternative_names(const std::vector<AlternativeName>& alternatives,
                               const std::string& common_name = "the-cn") {
  X509Ptr certificate = with_common_names({common_name});
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  for (const AlternativeName& alternative : alternatives) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, alternative.text.data(), static_cast<int>(alternative.text.size()));
    GENERAL_NAME_set0_value(name, alternative.type, value);
    sk_GENERAL_NAME_push(names, name);
  }
  X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names, 0, 0);
  GENERAL_NAMES_free(names);
  return certificate;
}

std::string id(const X509Ptr& certificate, ClientIdMode mode) {
  const auto result = client_id_of(certificate.get(), mode);
  REQUIRE_MESSAGE(result, to_string(result.error()));
  return *result;
}

IdentityError refusal(const X509Ptr& certificate, ClientIdMode mode) {
  const auto result = client_id_of(certificate.get(), mode);
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("identity: common_name is the only CN, as UTF-8") {
  constexpr auto mode = ClientIdMode::common_name;
  CHECK(id(with_common_names({"meter-1"}), mode) == "meter-1");
  CHECK(id(with_common_names({"z\xc3\xa4hler"}), mode) == "z\xc3\xa4hler");
  CHECK(id(with_common_names({"meter-1"}, V_ASN1_PRINTABLESTRING), mode) == "meter-1");
  CHECK(id(with_common_names({std::string(255, 'x')}), mode).size() == 255);
  CHECK(refusal(with_common_names({}), mode) == IdentityError::absent);
  CHECK(refusal(with_common_names({""}), mode) == IdentityError::empty);
  CHECK(refusal(with_common_names({"a", "b"}), mode) == IdentityError::ambiguous);
  CHECK(refusal(with_common_names({"a", "a"}), mode) == IdentityError::ambiguous);
  CHECK(refusal(with_common_names({std::string(256, 'x')}), mode) == IdentityError::too_long);
  CHECK(refusal(with_common_names({std::string("meter-1\0.evil", 13)}), mode) ==
        IdentityError::unprintable);
  for (const char* text : {"a\nb", "a\x7f", "\x1b[31m", "a\xc2\x85z", "broken\xc3"}) {
    CHECK(refusal(with_common_names({text}), mode) == IdentityError::unprintable);
  }
}

TEST_CASE("identity: san modes take the only name of their kind and never the CN") {
  const X509Ptr certificate =
      with_alternative_names({{GEN_DNS, "meter-1.example"}, {GEN_URI, "urn:sink:meter-1"}});
  CHECK(id(certificate, ClientIdMode::san_dns) == "meter-1.example");
  CHECK(id(certificate, ClientIdMode::san_uri) == "urn:sink:meter-1");
  for (const auto mode : {ClientIdMode::san_dns, ClientIdMode::san_uri}) {
    const int type = mode == ClientIdMode::san_dns ? GEN_DNS : GEN_URI;
    CHECK(refusal(with_common_names({"meter-1"}), mode) == IdentityError::absent);
    CHECK(refusal(with_alternative_names({{GEN_EMAIL, "a@b"}}), mode) == IdentityError::absent);
    CHECK(refusal(with_alternative_names({{type, ""}}), mode) == IdentityError::empty);
    CHECK(refusal(with_alternative_names({{type, "a"}, {type, "b"}}), mode) ==
          IdentityError::ambiguous);
    CHECK(refusal(with_alternative_names({{type, std::string("a\0b", 3)}}), mode) ==
          IdentityError::unprintable);
    CHECK(refusal(with_alternative_names({{type, "z\xc3\xa4hler"}}), mode) ==
          IdentityError::unprintable);
    CHECK(refusal(with_alternative_names({{type, std::string(256, 'x')}}), mode) ==
          IdentityError::too_long);
  }
}

TEST_CASE("identity: no certificate, no identity") {
  for (const auto mode : {ClientIdMode::common_name, ClientIdMode::san_uri, ClientIdMode::san_dns,
                          ClientIdMode::fingerprint}) {
    CHECK(client_id_of(nullptr, mode).error() == IdentityError::absent);
  }
}

TEST_CASE("identity: modes are named as in the configuration") {
  CHECK(client_id_mode("common_name") == ClientIdMode::common_name);
  CHECK(client_id_mode("san_uri") == ClientIdMode::san_uri);
  CHECK(client_id_mode("san_dns") == ClientIdMode::san_dns);
  CHECK(client_id_mode("fingerprint") == ClientIdMode::fingerprint);
  CHECK_FALSE(client_id_mode("Common_Name"));
}

}  // namespace sink::tls::test
