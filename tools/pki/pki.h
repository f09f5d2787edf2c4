// A certificate authority in a directory, for development and small fleets: makes the CA, issues
// certificates for servers and clients, revokes them. Not responsible for who may ask, nor for
// intermediates or renewal. Invariant: an existing file is replaced only with `force` (ca.crl by
// revoke()), at once, and private keys are readable by their owner only.
//
//   DIR/ca.pem  certificate    DIR/ca.key  private key, 0600    DIR/ca.crl  revocation list
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace sink::tools {

enum class PkiErrorCode : uint8_t {
  invalid,  // an option makes no sense
  exists,   // the file is there and `force` was not given
  missing,  // no CA in the directory, or another file is not there
  failed,   // the system or OpenSSL refused
};

// The message names the file or option, what is wrong and what to do next.
struct PkiError {
  PkiErrorCode code = PkiErrorCode::failed;
  std::string message;
};

struct CaOptions {
  std::string common_name = "Sink development CA";
  int days = 3650;
  bool force = false;
};

enum class CertificateKind : uint8_t { server, client, both };  // the extended key usage

struct IssueOptions {
  std::string name;  // common name, and the file name unless `out_prefix` is given
  CertificateKind kind = CertificateKind::client;
  std::vector<std::string> san_dns;  // a server without any name gets its common name here
  std::vector<std::string> san_ip;
  std::vector<std::string> san_uri;
  int days = 825;          // negative: expired that many days ago
  std::string out_prefix;  // path without ending; empty: DIR/name
  bool force = false;
};

struct Issued {
  std::string certificate_file;  // PREFIX.pem; the CA is the only issuer, so the chain is this one
  std::string private_key_file;  // PREFIX.key
};

// Makes `dir` if need be, then ca.pem, ca.key (EC P-256) and an empty ca.crl.
[[nodiscard]] tl::expected<void, PkiError> init_ca(const std::string& dir,
                                                   const CaOptions& options);

// Issues an EC P-256 certificate with a new private key from the CA in `dir`.
[[nodiscard]] tl::expected<Issued, PkiError> issue(const std::string& dir,
                                                   const IssueOptions& options);

// Adds the first certificate of `certificate_file` to DIR/ca.crl; answers the list's file name. A
// certificate that is already on the list is no error.
[[nodiscard]] tl::expected<std::string, PkiError> revoke(const std::string& dir,
                                                         const std::string& certificate_file);

}  // namespace sink::tools
