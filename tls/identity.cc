// Implements identity.h.
#include "tls/identity.h"

#include <openssl/x509v3.h>

#include "tls/openssl_ptr.h"

namespace sink::tls {
namespace {

using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using Identity = tl::expected<std::string, IdentityError>;

bool is_control(unsigned char byte) {
  return byte < 0x20 || byte == 0x7f;
}

Identity checked(std::string_view text) {
  if (text.empty()) return tl::unexpected(IdentityError::empty);
  if (text.size() > kClientIdBytesMax) return tl::unexpected(IdentityError::too_long);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (is_control(byte)) return tl::unexpected(IdentityError::unprintable);
    // U+0080 to U+009F, the control characters beyond ASCII.
    const bool c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) return tl::unexpected(IdentityError::unprintable);
  }
  return std::string(text);
}

Identity common_name(X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return tl::unexpected(IdentityError::absent);
  if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
    return tl::unexpected(IdentityError::ambiguous);
  }
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return tl::unexpected(IdentityError::unprintable);
  Identity result =
      checked(std::string_view(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size)));
  OPENSSL_free(utf8);
  return result;
}

Identity alternative_name(X509* certificate, int type) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const ASN1_STRING* found = nullptr;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != type) continue;
    if (found != nullptr) return tl::unexpected(IdentityError::ambiguous);
    found = name->d.ia5;
  }
  if (found == nullptr) return tl::unexpected(IdentityError::absent);
  const std::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(found)),
                              static_cast<size_t>(ASN1_STRING_length(found)));
  for (const char byte : text) {
    // An IA5String is ASCII (RFC 5280, 4.2.1.6).
    if (static_cast<unsigned char>(byte) >= 0x80) return tl::unexpected(IdentityError::unprintable);
  }
  return checked(text);
}

Identity fingerprint(X509* certificate) {
  static constexpr char kDigits[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) {
    return tl::unexpected(IdentityError::absent);
  }
  std::string text;
  text.reserve(size * 2);
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace

const char* to_string(IdentityError error) {
  switch (error) {
    case IdentityError::absent:
      return "the certificate does not hold the name that client_id asks for";
    case IdentityError::empty:
      return "the certificate's name for the client is empty";
    case IdentityError::ambiguous:
      return "the certificate holds more than one name of the kind that client_id asks for";
    case IdentityError::unprintable:
      return "the certificate's name for the client holds control bytes or is not text";
    case IdentityError::too_long:
      return "the certificate's name for the client is longer than 255 bytes";
  }
  return "unknown identity error";
}

std::optional<ClientIdMode> client_id_mode(std::string_view text) {
  if (text == "common_name") return ClientIdMode::common_name;
  if (text == "san_uri") return ClientIdMode::san_uri;
  if (text == "san_dns") return ClientIdMode::san_dns;
  if (text == "fingerprint") return ClientIdMode::fingerprint;
  return std::nullopt;
}

tl::expected<std::string, IdentityError> client_id_of(X509* certificate, ClientIdMode mode) {
  if (certificate == nullptr) return tl::unexpected(IdentityError::absent);
  switch (mode) {
    case ClientIdMode::common_name:
      return common_name(certificate);
    case ClientIdMode::san_uri:
      return alternative_name(certificate, GEN_URI);
    case ClientIdMode::san_dns:
      return alternative_name(certificate, GEN_DNS);
    case ClientIdMode::fingerprint:
      return fingerprint(certificate);
  }
  return tl::unexpected(IdentityError::absent);
}

}  // namespace sink::tls
