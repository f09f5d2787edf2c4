// Implements context.h.
#include "tls/context.h"

#include <openssl/err.h>

#include <utility>

#include "tls/pem_file.h"

namespace sink::tls {
namespace {

// AES-128-GCM first: cheapest where the CPU has AES, and strong. A client without AES hardware
// puts ChaCha20 first and gets it (SSL_OP_PRIORITIZE_CHACHA).
constexpr char kCiphers12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kCiphers13[] =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
constexpr char kGroups[] = "X25519:P-256:P-384";

// Stops a peer that is not authenticated yet from making the other side hold a long chain.
constexpr long kPeerChainBytesMax = 16 * 1024;

TlsError refused_by_openssl(const std::string& what) {
  return {TlsErrorCode::openssl_failed, what + " (" + take_openssl_error() + ")"};
}

enum class Side : uint8_t { server, client };

const char* side_text(Side side) {
  return side == Side::server ? "server" : "client";
}

tl::expected<SslCtxPtr, TlsError> make_ssl_ctx(Side side, MinVersion min_version) {
  ERR_clear_error();
  SslCtxPtr ctx(SSL_CTX_new(side == Side::server ? TLS_server_method() : TLS_client_method()));
  if (ctx == nullptr) return tl::unexpected(refused_by_openssl("cannot create a TLS context"));
  SSL_CTX* const c = ctx.get();
  const int lowest = min_version == MinVersion::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  const bool set = SSL_CTX_set_min_proto_version(c, lowest) == 1 &&
                   SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_cipher_list(c, kCiphers12) == 1 &&
                   SSL_CTX_set_ciphersuites(c, kCiphers13) == 1 &&
                   SSL_CTX_set1_groups_list(c, kGroups) == 1 &&
                   SSL_CTX_set_num_tickets(c, 0) == 1 && SSL_CTX_set_max_early_data(c, 0) == 1;
  if (!set) return tl::unexpected(refused_by_openssl("cannot set up TLS as this program needs it"));
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  // Streams hand over whole records only, so reading ahead never leaves a buffer behind.
  SSL_CTX_set_read_ahead(c, 1);
  SSL_CTX_set_max_cert_list(c, kPeerChainBytesMax);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(c, static_cast<int>(kChainLinksMax) - 1);
  SSL_CTX_set_purpose(c, side == Side::server ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER);
  return ctx;
}

struct CredentialFiles {
  std::string certificate;
  std::string private_key;
};

tl::expected<void, TlsError> check_leaf(X509* leaf, EVP_PKEY* key, const CredentialFiles& files,
                                        Side side, uint64_t now_ms) {
  if (X509_check_private_key(leaf, key) != 1) {
    ERR_clear_error();
    return tl::unexpected(TlsError{TlsErrorCode::key_mismatch,
                                   files.private_key +
                                       ": this private key does not belong to the "
                                       "certificate in " +
                                       files.certificate +
                                       "; put the key and the certificate of one issue there"});
  }
  const uint64_t not_after_ms = time_ms(X509_get0_notAfter(leaf));
  if (not_after_ms <= now_ms) {
    return tl::unexpected(TlsError{
        TlsErrorCode::expired, files.certificate + ": the certificate expired on " +
                                   time_text(not_after_ms) + "; install a renewed one and reload"});
  }
  const int purpose = side == Side::server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
  if (X509_check_purpose(leaf, purpose, 0) != 1) {
    return tl::unexpected(TlsError{
        TlsErrorCode::wrong_usage,
        files.certificate + ": the certificate may not be used as a TLS " + side_text(side) +
            "; issue one whose extended key usage has " + side_text(side) + "Auth"});
  }
  return {};
}

tl::expected<std::vector<CertificateInfo>, TlsError> use_credentials(SSL_CTX* ctx,
                                                                     const CredentialFiles& files,
                                                                     Side side, uint64_t now_ms) {
  auto chain = read_certificates(files.certificate);
  if (!chain) return tl::unexpected(std::move(chain.error()));
  auto key = read_private_key(files.private_key);
  if (!key) return tl::unexpected(std::move(key.error()));
  if (auto ok = check_leaf(chain->front().get(), key->get(), files, side, now_ms); !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  const std::string role = side_text(side);
  std::vector<CertificateInfo> rows;
  bool used = SSL_CTX_use_certificate(ctx, chain->front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, key->get()) == 1;
  for (const X509Ptr& certificate : *chain) {
    const bool leaf = certificate == chain->front();
    rows.push_back(describe(certificate.get(), leaf ? role : role + "_chain", files.certificate));
    used = used && (leaf || SSL_CTX_add1_chain_cert(ctx, certificate.get()) == 1);
  }
  if (!used) {
    return tl::unexpected(refused_by_openssl(files.certificate + ": OpenSSL does not accept it"));
  }
  return rows;
}

// Tells clients whose certificates are welcome, so that those with several can choose.
tl::expected<void, TlsError> announce_client_ca(SSL_CTX* ctx, const std::string& file) {
  auto bundle = read_certificates(file);
  if (!bundle) return tl::unexpected(std::move(bundle.error()));
  for (const X509Ptr& ca : *bundle) {
    if (SSL_CTX_add_client_CA(ctx, ca.get()) != 1) {
      return tl::unexpected(refused_by_openssl(file + ": OpenSSL does not accept it"));
    }
  }
  return {};
}

struct Loaded {
  SslCtxPtr ctx;
  Trust trust;
  std::vector<CertificateInfo> rows;
};

tl::expected<Loaded, TlsError> load_all(Side side, MinVersion min_version,
                                        const CredentialFiles& credentials,
                                        const TrustFiles& trust_files, uint64_t now_ms) {
  auto ctx = make_ssl_ctx(side, min_version);
  if (!ctx) return tl::unexpected(std::move(ctx.error()));
  auto rows = use_credentials(ctx->get(), credentials, side, now_ms);
  if (!rows) return tl::unexpected(std::move(rows.error()));
  const char* peers = side == Side::server ? "client" : "server";
  auto trust = Trust::load(ctx->get(), trust_files, peers, now_ms);
  if (!trust) return tl::unexpected(std::move(trust.error()));
  rows->insert(rows->end(), trust->rows().begin(), trust->rows().end());
  return Loaded{std::move(*ctx), std::move(*trust), std::move(*rows)};
}

}  // namespace

tl::expected<std::shared_ptr<const ServerContext>, TlsError> ServerContext::load(
    const ServerOptions& options, uint64_t now_ms) {
  auto loaded = load_all(Side::server, options.min_version,
                         {options.certificate_file, options.private_key_file},
                         {options.client_ca_file, options.client_crl_file}, now_ms);
  if (!loaded) return tl::unexpected(std::move(loaded.error()));
  if (auto ok = announce_client_ca(loaded->ctx.get(), options.client_ca_file); !ok) {
    return tl::unexpected(std::move(ok.error()));
  }
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->ssl_ctx_ = std::move(loaded->ctx);
  context->trust_ = std::move(loaded->trust);
  context->certificates_ = std::move(loaded->rows);
  return context;
}

tl::expected<std::shared_ptr<const ClientContext>, TlsError> ClientContext::load(
    const ClientOptions& options, uint64_t now_ms) {
  auto loaded = load_all(Side::client, options.min_version,
                         {options.certificate_file, options.private_key_file},
                         {options.server_ca_file, options.server_crl_file}, now_ms);
  if (!loaded) return tl::unexpected(std::move(loaded.error()));
  std::shared_ptr<ClientContext> context(new ClientContext);
  context->ssl_ctx_ = std::move(loaded->ctx);
  context->trust_ = std::move(loaded->trust);
  context->certificates_ = std::move(loaded->rows);
  return context;
}

}  // namespace sink::tls
