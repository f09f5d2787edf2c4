// Test fixtures: certificates in a directory of their own, a pair of streams and the wire between
// them, and a client made of plain OpenSSL for what a Stream would never do.
#pragma once

#include <doctest/doctest.h>

#include <ctime>
#include <filesystem>
#include <memory>
#include <string>

#include "tls/stream.h"
#include "tools/pki/pki.h"

namespace sink::tls::test {

inline uint64_t wall_ms() {
  return static_cast<uint64_t>(std::time(nullptr)) * 1000;
}

// Removes itself.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sink-tls-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A CA with a server "broker" and a client "meter-1"; more on request.
class TestPki {
 public:
  explicit TestPki(const std::string& ca_name = "Test CA") {
    tools::CaOptions options;
    options.common_name = ca_name;
    REQUIRE(tools::init_ca(dir_.path(), options));
    issue("broker", tools::CertificateKind::server);
    issue("meter-1", tools::CertificateKind::client);
  }

  void issue(const std::string& name, tools::CertificateKind kind, int days = 30) {
    tools::IssueOptions options;
    options.name = name;
    options.kind = kind;
    options.days = days;
    options.san_dns = {name};
    REQUIRE(tools::issue(dir_.path(), options));
  }
  void revoke(const std::string& name) { REQUIRE(tools::revoke(dir_.path(), file(name + ".pem"))); }
  std::string file(const std::string& name) const { return dir_ / name; }
  const std::string& path() const { return dir_.path(); }

  ServerOptions server_options() const {
    return {file("broker.pem"), file("broker.key"), file("ca.pem"), "", MinVersion::tls_1_2};
  }
  std::shared_ptr<const ServerContext> server(bool with_crl = false) const {
    ServerOptions options = server_options();
    if (with_crl) options.client_crl_file = file("ca.crl");
    auto context = ServerContext::load(options, wall_ms());
    REQUIRE_MESSAGE(context, context.error().message);
    return *context;
  }
  // `name`'s credentials, whatever they are good for; `ca`: whom the client trusts.
  SslCtxPtr client_ssl_ctx(const std::string& name, const std::string& ca, int version) const {
    SslCtxPtr ctx(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(ctx.get(), 0);
    SSL_CTX_set_max_proto_version(ctx.get(), version);
    if (version < TLS1_2_VERSION) SSL_CTX_set_cipher_list(ctx.get(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, nullptr);
    REQUIRE(SSL_CTX_load_verify_locations(ctx.get(), ca.c_str(), nullptr) == 1);
    if (name.empty()) return ctx;
    REQUIRE(SSL_CTX_use_certificate_file(ctx.get(), file(name + ".pem").c_str(),
                                         SSL_FILETYPE_PEM) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey_file(ctx.get(), file(name + ".key").c_str(), SSL_FILETYPE_PEM) ==
            1);
    return ctx;
  }
  std::shared_ptr<const ClientContext> client(const std::string& name = "meter-1") const {
    auto context = ClientContext::load(
        {file(name + ".pem"), file(name + ".key"), file("ca.pem"), "", MinVersion::tls_1_2},
        wall_ms());
    REQUIRE_MESSAGE(context, context.error().message);
    return *context;
  }

 private:
  Directory dir_;
};

// Hands all of `from`'s output to `to` in pieces; the lent memory is gone after each settle().
template <typename From>
bool carry(From& from, Stream& to, size_t piece, bool handshaking) {
  const std::string bytes = from.take_output();
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const auto lent = std::make_unique<std::string>(bytes.substr(at, piece));
    to.lend(*lent);
    if (handshaking) static_cast<void>(to.handshake());
    to.settle();
  }
  return !bytes.empty();
}

struct Pair {
  std::unique_ptr<Stream> server;
  std::unique_ptr<Stream> client;

  Pair(const ServerContext& server_context, const ClientContext& client_context,
       const std::string& server_name = "broker")
      : server(*Stream::accept(server_context)),
        client(*Stream::connect(client_context, server_name)) {}

  // True when both are done.
  bool shake_hands(size_t piece = SIZE_MAX / 2) {
    static_cast<void>(client->handshake());
    bool moving = true;
    while (moving) {
      moving = carry(*client, *server, piece, true);
      moving = carry(*server, *client, piece, true) || moving;
    }
    return server->handshake() == HandshakeStatus::done &&
           client->handshake() == HandshakeStatus::done;
  }
};

// Everything that can be read now.
inline std::string read_all(Stream& stream, size_t scratch = 64 * 1024) {
  std::string all;
  std::string buffer(scratch, '\0');
  for (;;) {
    const ReadResult result = stream.read(buffer);
    if (result.status != ReadStatus::data) return all;
    all.append(buffer, 0, result.size);
  }
}

// A client of OpenSSL's own making.
class PlainClient {
 public:
  explicit PlainClient(SSL_CTX* ctx) : ssl_(SSL_new(ctx)) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }
  SSL* ssl() { return ssl_.get(); }
  std::string take_output() {
    std::string bytes(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())), '\0');
    if (!bytes.empty()) {
      BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    }
    return bytes;
  }
  void deliver(Stream& from) {
    const std::string bytes = from.take_output();
    if (bytes.empty()) return;
    BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
  }
  // Up to five flights; answers what the server made of it.
  HandshakeStatus shake_hands(Stream& server) {
    for (int flight = 0; flight < 5; ++flight) {
      SSL_do_handshake(ssl_.get());
      carry(*this, server, SIZE_MAX / 2, true);
      deliver(server);
    }
    return server.handshake();
  }
  std::string read() {
    char buffer[1024];
    const int size = SSL_read(ssl_.get(), buffer, sizeof buffer);
    return size <= 0 ? std::string() : std::string(buffer, static_cast<size_t>(size));
  }

 private:
  SslPtr ssl_;
};

}  // namespace sink::tls::test
