// Reads certificates, private keys and revocation lists from PEM files. Not responsible for
// whether they fit together or are still valid: trust.h and context.h are. Invariant: a returned
// list is never empty.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "tls/openssl_ptr.h"
#include "tls/tls_error.h"

namespace sink::tls {

// Every certificate of the file, in file order.
[[nodiscard]] tl::expected<std::vector<X509Ptr>, TlsError> read_certificates(
    const std::string& file);

// The first private key of the file. Encrypted keys are refused: a daemon cannot ask for a
// passphrase.
[[nodiscard]] tl::expected<PkeyPtr, TlsError> read_private_key(const std::string& file);

// Every revocation list of the file, in file order.
[[nodiscard]] tl::expected<std::vector<X509CrlPtr>, TlsError> read_revocation_lists(
    const std::string& file);

// The oldest entry of OpenSSL's error queue as text ("unspecified error" when empty); empties it.
std::string take_openssl_error();

}  // namespace sink::tls
