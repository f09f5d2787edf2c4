// Whom a context trusts, in a form that can be asked again later: anchors and revoked serials, and
// the small record of a live connection's peer to hold against them after a reload. Not responsible
// for the first check: OpenSSL does that in the handshake. Invariant: a record is never judged
// valid by a trust whose anchors do not include the one it was verified against.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "tls/certificate_info.h"
#include "tls/tls_error.h"

namespace sink::tls {

// At most this many certificates between a peer and its anchor, the peer's own included.
inline constexpr size_t kChainLinksMax = 4;

using Digest = std::array<uint8_t, 16>;  // front half of a SHA-256

// What is kept of a verified peer instead of its certificates.
struct PeerRecord {
  std::array<Digest, kChainLinksMax> links = {};  // issuer and serial of each, the peer's first
  Digest anchor = {};                             // name and key of the trusted root
  uint64_t not_after_ms = 0;                      // the earliest among the links
  uint8_t link_count = 0;
};

enum class PeerStatus : uint8_t { valid, expired, revoked, untrusted };
const char* to_string(PeerStatus status);

// The record of an established connection; all zero (and so untrusted) when it has no verified
// chain. Call before the stream forgets its peer.
PeerRecord peer_record(const SSL* ssl);

struct TrustFiles {
  std::string ca_file;
  std::string crl_file;  // empty: nobody is revoked
};

// Immutable once loaded.
class Trust {
 public:
  // Reads the files into `context`'s certificate store and into the index. With a revocation list
  // every certificate of a chain is checked, so each CA of the bundle must have one. `role` is the
  // prefix of the rows' roles: "client" or "server".
  [[nodiscard]] static tl::expected<Trust, TlsError> load(SSL_CTX* context, const TrustFiles& files,
                                                          const std::string& role, uint64_t now_ms);

  PeerStatus judge(const PeerRecord& record, uint64_t now_ms) const;

  const std::vector<CertificateInfo>& rows() const { return rows_; }

 private:
  struct Anchor {
    Digest name_and_key;
    uint64_t not_after_ms;
  };

  void add_revoked(X509_CRL* list);

  std::vector<Anchor> anchors_;
  std::vector<Digest> revoked_;  // sorted: issuer and serial
  std::vector<CertificateInfo> rows_;
};

}  // namespace sink::tls
