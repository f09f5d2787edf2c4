// TLS settings of one listener or one client: certificates, trust and the hardened options, loaded
// whole or not at all. Not responsible for connections (stream.h) or for when to reload: a reload
// is a new load, swapped in by the owner. Invariant: immutable after load, so any thread may use
// it; streams keep what they need of the context they began with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "tls/certificate_info.h"
#include "tls/openssl_ptr.h"
#include "tls/tls_error.h"
#include "tls/trust.h"

namespace sink::tls {

enum class MinVersion : uint8_t { tls_1_2, tls_1_3 };

struct ServerOptions {
  std::string certificate_file;  // PEM: the server's certificate, then its intermediates
  std::string private_key_file;
  std::string client_ca_file;   // PEM: whose clients may come in
  std::string client_crl_file;  // PEM, empty: none; see Trust::load
  MinVersion min_version = MinVersion::tls_1_2;
};

struct ClientOptions {
  std::string certificate_file;  // PEM: the client's certificate, then its intermediates
  std::string private_key_file;
  std::string server_ca_file;
  std::string server_crl_file;  // PEM, empty: none
  MinVersion min_version = MinVersion::tls_1_2;
};

// What both sides share; use ServerContext or ClientContext.
class Context {
 public:
  // Borrowed; SSL_new takes its own reference.
  SSL_CTX* native() const { return ssl_ctx_.get(); }

  // Every certificate and list that was loaded, for `sinkctl cert ls` and expiry warnings.
  const std::vector<CertificateInfo>& certificates() const { return certificates_; }

  // Would the peer of a live connection still be let in? Asked after a reload and now and then
  // for expiry; `now_ms` is wall-clock time since 1970.
  PeerStatus judge(const PeerRecord& peer, uint64_t now_ms) const {
    return trust_.judge(peer, now_ms);
  }

 protected:
  Context() = default;

  SslCtxPtr ssl_ctx_;
  Trust trust_;
  std::vector<CertificateInfo> certificates_;
};

class ServerContext : public Context {
 public:
  // Clients must present a certificate of the CA for client authentication. A server certificate
  // that is not valid *yet* is accepted: gateways start with a wrong clock.
  [[nodiscard]] static tl::expected<std::shared_ptr<const ServerContext>, TlsError> load(
      const ServerOptions& options, uint64_t now_ms);

 private:
  ServerContext() = default;
};

class ClientContext : public Context {
 public:
  [[nodiscard]] static tl::expected<std::shared_ptr<const ClientContext>, TlsError> load(
      const ClientOptions& options, uint64_t now_ms);

 private:
  ClientContext() = default;
};

}  // namespace sink::tls
