// The client_id of a certificate. The first byte chooses: DER as it arrives, or a certificate that
// is made here from names in the input, with a naive reading of the rules beside it. An accepted
// client_id is 1 to 255 bytes without control bytes, and the same each time; what is shown to
// operators is printable.
#include <vector>

#include "tls/certificate_info.h"
#include "tls/identity.h"
#include "tls/openssl_ptr.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::tls;

namespace {

constexpr ClientIdMode kModes[] = {ClientIdMode::common_name, ClientIdMode::san_uri,
                                   ClientIdMode::san_dns, ClientIdMode::fingerprint};

bool is_ascii_text(const std::string& text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) return false;
  return true;
}

// Well-formed UTF-8 (RFC 3629) without control characters.
bool is_utf8_text(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || i + more >= text.size()) return false;
    uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    if (point < 0x20 || (point >= 0x7f && point < 0xa0)) return false;
    i += more + 1;
  }
  return true;
}

void check(X509* certificate) {
  for (const ClientIdMode mode : kModes) {
    const auto id = client_id_of(certificate, mode);
    FUZZ_CHECK(client_id_of(certificate, mode) == id);
    if (!id) {
      FUZZ_CHECK(to_string(id.error()) != nullptr);
      continue;
    }
    FUZZ_CHECK(!id->empty() && id->size() <= kClientIdBytesMax);
    FUZZ_CHECK(mode == ClientIdMode::common_name ? is_utf8_text(*id) : is_ascii_text(*id));
    if (mode == ClientIdMode::fingerprint) FUZZ_CHECK(id->size() == 64);
  }
  const CertificateInfo info = describe(certificate, "client", "file");
  FUZZ_CHECK(is_ascii_text(info.subject) && is_ascii_text(info.issuer));
  FUZZ_CHECK(is_ascii_text(info.serial));
  FUZZ_CHECK(is_ascii_text(time_text(info.not_after_ms)));
}

void read_der(const uint8_t* data, size_t size) {
  const unsigned char* at = data;
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(size)));
  if (certificate != nullptr) check(certificate.get());
}

struct Names {
  std::vector<std::string> common, uris, hosts;
};

void add_common_name(X509* certificate, int type, const std::string& name) {
  X509_NAME_ENTRY* entry = X509_NAME_ENTRY_create_by_NID(
      nullptr, NID_commonName, type, reinterpret_cast<const unsigned char*>("x"), 1);
  FUZZ_CHECK(entry != nullptr);
  ASN1_STRING_set(X509_NAME_ENTRY_get_data(entry), name.data(), static_cast<int>(name.size()));
  X509_NAME_add_entry(X509_get_subject_name(certificate), entry, -1, 0);
  X509_NAME_ENTRY_free(entry);
}

void add_alternative_name(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name, type, value);
  sk_GENERAL_NAME_push(names, name);
}

// What the rules say, where the certificate leaves no doubt about it.
void check_against_rules(X509* certificate, const std::vector<std::string>& names,
                         ClientIdMode mode) {
  const auto id = client_id_of(certificate, mode);
  const bool good = names.size() == 1 && !names[0].empty() &&
                    names[0].size() <= kClientIdBytesMax &&
                    (mode == ClientIdMode::common_name ? is_utf8_text(names[0])
                                                       : is_ascii_text(names[0]));
  FUZZ_CHECK(id.has_value() == good);
  if (id) FUZZ_CHECK(*id == names[0]);
  if (names.empty()) FUZZ_CHECK(id.error() == IdentityError::absent);
  if (names.size() > 1) FUZZ_CHECK(id.error() == IdentityError::ambiguous);
}

void build(sink::test::FuzzInput& input) {
  const X509Ptr certificate(X509_new());
  GENERAL_NAMES* alternatives = GENERAL_NAMES_new();
  Names names;
  while (!input.at_end()) {
    const uint8_t kind = input.byte();
    const std::string text(input.text());
    switch (kind % 4) {
      case 0:
        names.common.push_back(text);
        add_common_name(certificate.get(), V_ASN1_UTF8STRING, text);
        break;
      case 1:
        names.uris.push_back(text);
        add_alternative_name(alternatives, GEN_URI, text);
        break;
      case 2:
        names.hosts.push_back(text);
        add_alternative_name(alternatives, GEN_DNS, text);
        break;
      default:  // never looked at
        add_alternative_name(alternatives, GEN_EMAIL, text);
        break;
    }
  }
  if (sk_GENERAL_NAME_num(alternatives) > 0)
    X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, alternatives, 0, 0);
  GENERAL_NAMES_free(alternatives);
  check(certificate.get());
  check_against_rules(certificate.get(), names.common, ClientIdMode::common_name);
  check_against_rules(certificate.get(), names.uris, ClientIdMode::san_uri);
  check_against_rules(certificate.get(), names.hosts, ClientIdMode::san_dns);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  if (input.byte() % 2 == 0) {
    if (size > 0) read_der(data + 1, size - 1);
  } else {
    build(input);
  }
  return 0;
}
