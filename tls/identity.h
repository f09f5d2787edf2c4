// The client_id that a peer certificate proves. Not responsible for whether the certificate is
// trusted: the TLS handshake has decided that before. Invariant: an accepted client_id is 1 to 255
// bytes of UTF-8 without control bytes, and the certificate leaves no choice which one it is.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sink::tls {

enum class ClientIdMode : uint8_t {
  common_name,  // the subject's only CN
  san_uri,      // the only URI among the subject alternative names; the CN is never looked at
  san_dns,      // the only DNS name among the subject alternative names; likewise
  fingerprint,  // SHA-256 of the DER certificate, 64 lower-case hex digits
};

enum class IdentityError : uint8_t {
  absent,
  empty,
  ambiguous,    // more than one candidate: which one is meant would be a guess
  unprintable,  // NUL, another control byte, or not text in the declared encoding
  too_long,
};

inline constexpr size_t kClientIdBytesMax = 255;

// What to tell the operator.
const char* to_string(IdentityError error);

// Parses "common_name", "san_uri", "san_dns" or "fingerprint".
std::optional<ClientIdMode> client_id_mode(std::string_view text);

[[nodiscard]] tl::expected<std::string, IdentityError> client_id_of(X509* certificate,
                                                                    ClientIdMode mode);

}  // namespace sink::tls
