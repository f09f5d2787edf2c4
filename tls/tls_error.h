// Why certificates, keys or lists could not be put to use. Not responsible for what goes wrong on a
// connection: that is Failure in stream.h. Invariant: the message names the file, what is wrong
// with it and what to do next.
#pragma once

#include <cstdint>
#include <string>

namespace sink::tls {

enum class TlsErrorCode : uint8_t {
  file_missing,
  file_unreadable,
  not_pem,         // nothing usable of the wanted kind in the file
  key_mismatch,    // the private key belongs to another certificate
  expired,         // certificate or revocation list
  wrong_usage,     // extended key usage does not allow the role
  incomplete,      // an issuer or a revocation list is missing
  openssl_failed,  // OpenSSL refused, for lack of memory or by its security level
};

struct TlsError {
  TlsErrorCode code = TlsErrorCode::openssl_failed;
  std::string message;
};

}  // namespace sink::tls
