// Facts about certificates and revocation lists for people: names, serial, validity. Not
// responsible for trust. Invariant: text is printable, whatever the certificate holds.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <string>

namespace sink::tls {

// One row of `sinkctl cert ls`.
struct CertificateInfo {
  std::string role;  // server, server_chain, client_ca, client_crl; client, client_chain,
                     // server_ca, server_crl
  std::string file;
  std::string subject;  // empty for a revocation list
  std::string issuer;
  std::string serial;          // lower-case hex; of a revocation list its CRL number, or empty
  uint64_t not_before_ms = 0;  // since 1970; a revocation list: when it was issued
  uint64_t not_after_ms = 0;   // a revocation list: when the next one is due, 0 if it does not say
};

// Rows owned by the caller; the certificate is only read.
CertificateInfo describe(X509* certificate, std::string role, std::string file);
CertificateInfo describe(X509_CRL* list, std::string role, std::string file);

// A name as "CN=meter-1,O=Example" (RFC 2253, escapes applied).
std::string name_text(const X509_NAME* name);

// Milliseconds since 1970; 0 for an absent, unreadable or earlier time.
uint64_t time_ms(const ASN1_TIME* time);

// "2026-01-31 12:00:00 UTC".
std::string time_text(uint64_t milliseconds);

}  // namespace sink::tls
