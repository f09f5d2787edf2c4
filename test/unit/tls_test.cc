// Streams: what passes, who is refused and why, and what a connection costs.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <malloc.h>
#include <openssl/err.h>

#include <string>
#include <vector>

#include "test/unit/tls_pair.h"

namespace sink::tls::test {
namespace {

const TestPki& pki() {
  static const TestPki* const made = [] {
    static TestPki p;
    p.issue("expired", tools::CertificateKind::client, -2);
    p.issue("not-a-client", tools::CertificateKind::server);
    p.issue("revoked", tools::CertificateKind::client);
    p.revoke("revoked");
    return &p;
  }();
  return *made;
}

const int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

std::shared_ptr<const ClientContext> client_of_version(int version) {
  auto context = pki().client();
  SSL_CTX_set_max_proto_version(context->native(), version);
  return context;
}

void carry_data(Stream& from, Stream& to) {
  carry(from, to, SIZE_MAX / 2, false);
}

struct Refusal {
  Failure failure;
  std::string text;
};

// What the server says about a client with the credentials `name` ("": none) of `issuer`.
Refusal refusal(const ServerContext& server_context, const TestPki& issuer, const std::string& name,
                int version) {
  auto server = *Stream::accept(server_context);
  const SslCtxPtr ctx = issuer.client_ssl_ctx(name, pki().file("ca.pem"), version);
  PlainClient client(ctx.get());
  CHECK(client.shake_hands(*server) == HandshakeStatus::failed);
  CHECK(server->handshake() == HandshakeStatus::failed);
  char byte = 0;
  CHECK(server->read({&byte, 1}).status == ReadStatus::failed);
  CHECK_FALSE(server->write("secret"));
  CHECK_FALSE(server->client_id(ClientIdMode::common_name));
  return {server->failure(), server->failure_text()};
}

}  // namespace

TEST_CASE("stream: handshake and data pass however the ciphertext is cut") {
  for (const int version : kVersions) {
    for (const size_t piece : {1, 2, 3, 5, 7, 64, 1000, 1 << 20}) {
      CAPTURE(version);
      CAPTURE(piece);
      Pair pair(*pki().server(), *client_of_version(version));
      REQUIRE_MESSAGE(pair.shake_hands(piece), pair.server->failure_text());
      CHECK(SSL_CTX_get_max_proto_version(client_of_version(version)->native()) == version);
      CHECK(std::string(pair.server->version()) ==
            (version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"));
      REQUIRE(pair.client->write("from the client"));
      REQUIRE(pair.server->write("from the server"));
      carry(*pair.client, *pair.server, piece, false);
      carry(*pair.server, *pair.client, piece, false);
      CHECK(read_all(*pair.server) == "from the client");
      CHECK(read_all(*pair.client) == "from the server");
    }
  }
}

TEST_CASE(
    "stream: records cut at every boundary arrive whole, and read says want_read until then") {
  for (const int version : kVersions) {
    Pair pair(*pki().server(), *client_of_version(version));
    REQUIRE(pair.shake_hands());
    size_t length = 1;
    for (size_t cut = 0; cut <= length; ++cut) {
      REQUIRE(pair.client->write("first"));
      REQUIRE(pair.client->write("second"));
      const std::string bytes = pair.client->take_output();
      length = bytes.size();
      auto front = std::make_unique<std::string>(bytes.substr(0, cut));
      pair.server->lend(*front);
      std::string got = read_all(*pair.server);
      CHECK((got.empty() || got == "first" || got == "firstsecond"));
      pair.server->settle();
      front.reset();
      const std::string back = bytes.substr(cut);
      pair.server->lend(back);
      got += read_all(*pair.server);
      pair.server->settle();
      REQUIRE(got == "firstsecond");
    }
  }
}

TEST_CASE("stream: settle keeps what the caller has not read yet") {
  Pair pair(*pki().server(), *pki().client());
  REQUIRE(pair.shake_hands());
  REQUIRE(pair.client->write(std::string(100'000, 'x')));
  auto bytes = std::make_unique<std::string>(pair.client->take_output());
  pair.server->lend(*bytes);
  char few[10];
  CHECK(pair.server->read(few).size == 10);
  pair.server->settle();
  bytes.reset();
  CHECK(read_all(*pair.server) == std::string(100'000 - 10, 'x'));
}

TEST_CASE("stream: a megabyte is written in full records and read through a small scratch") {
  Pair pair(*pki().server(), *pki().client());
  REQUIRE(pair.shake_hands());
  std::string sent(1 << 20, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 3);
  REQUIRE(pair.server->write(sent));
  const std::string_view output = pair.server->pending_output();
  CHECK(output.size() < sent.size() + 64 * 32);
  const std::string bytes(output);
  pair.server->consume_output(100);
  CHECK(pair.server->pending_output() == std::string_view(bytes).substr(100));
  pair.server->consume_output(bytes.size() - 100);
  CHECK(pair.server->pending_output().empty());
  pair.client->lend(bytes);
  CHECK(read_all(*pair.client, 1000) == sent);
}

TEST_CASE("stream: data right behind the handshake is not lost") {
  Pair pair(*pki().server(), *client_of_version(TLS1_3_VERSION));
  static_cast<void>(pair.client->handshake());
  carry(*pair.client, *pair.server, SIZE_MAX / 2, true);
  carry(*pair.server, *pair.client, SIZE_MAX / 2, true);
  REQUIRE(pair.client->handshake() == HandshakeStatus::done);
  REQUIRE(pair.client->write("request"));
  const std::string flight = pair.client->take_output();
  pair.server->lend(flight);
  REQUIRE(pair.server->handshake() == HandshakeStatus::done);
  CHECK(read_all(*pair.server) == "request");
}

TEST_CASE("stream: close_notify ends the stream in order, once") {
  for (const int version : kVersions) {
    Pair pair(*pki().server(), *client_of_version(version));
    REQUIRE(pair.shake_hands());
    REQUIRE(pair.client->write("last words"));
    pair.client->shutdown();
    pair.client->shutdown();
    CHECK_FALSE(pair.client->write("too late"));
    const std::string bytes = pair.client->take_output();
    pair.server->lend(bytes);
    char buffer[64];
    CHECK(pair.server->read(buffer).size == 10);
    CHECK(pair.server->read(buffer).status == ReadStatus::closed);
    CHECK(pair.server->read(buffer).status == ReadStatus::closed);
    pair.server->shutdown();
    CHECK_FALSE(pair.server->pending_output().empty());
    CHECK(pair.server->failure() == Failure::none);
  }
}

TEST_CASE("stream: a flipped bit fails the session for good") {
  for (const int version : kVersions) {
    Pair pair(*pki().server(), *client_of_version(version));
    REQUIRE(pair.shake_hands());
    REQUIRE(pair.client->write("good"));
    std::string bytes = pair.client->take_output();
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    pair.server->lend(bytes);
    char buffer[64];
    CHECK(pair.server->read(buffer).status == ReadStatus::failed);
    CHECK(pair.server->failure() == Failure::violation);
    CHECK_FALSE(pair.server->failure_text().empty());
    pair.server->settle();
    REQUIRE(pair.client->write("good again"));
    carry_data(*pair.client, *pair.server);
    CHECK(pair.server->read(buffer).status == ReadStatus::failed);
    CHECK_FALSE(pair.server->write("anything"));
  }
}

TEST_CASE("stream: who does not belong is refused, and the reason says why") {
  const TestPki foreign("Foreign CA");
  const auto server = pki().server(true);
  for (const int version : kVersions) {
    CAPTURE(version);
    CHECK(refusal(*server, foreign, "meter-1", version).failure == Failure::certificate_untrusted);
    Refusal refused = refusal(*server, pki(), "expired", version);
    CHECK(refused.failure == Failure::certificate_expired);
    CHECK(refused.text == "certificate has expired");
    refused = refusal(*server, pki(), "revoked", version);
    CHECK(refused.failure == Failure::certificate_revoked);
    CHECK(refused.text == "certificate revoked");
    refused = refusal(*server, pki(), "not-a-client", version);
    CHECK(refused.failure == Failure::certificate_usage);
    refused = refusal(*server, pki(), "", version);
    CHECK(refused.failure == Failure::no_certificate);
    CHECK(refused.text == "peer did not return a certificate");
  }
  // The CA's own certificate presented by someone who made one of that name.
  const TestPki impostor("Test CA");
  CHECK(refusal(*server, impostor, "meter-1", TLS1_3_VERSION).failure ==
        Failure::certificate_untrusted);
}

TEST_CASE("stream: a self-signed certificate is refused") {
  const TestPki own("meter-1");
  for (const int version : kVersions) {
    CHECK(refusal(*pki().server(), own, "ca", version).failure == Failure::certificate_untrusted);
  }
}

TEST_CASE("stream: the revoked certificate passes where no revocation list is given") {
  const auto server_context = pki().server(false);
  auto server = *Stream::accept(*server_context);
  const SslCtxPtr ctx = pki().client_ssl_ctx("revoked", pki().file("ca.pem"), TLS1_3_VERSION);
  PlainClient client(ctx.get());
  CHECK(client.shake_hands(*server) == HandshakeStatus::done);
}

TEST_CASE("stream: the refused side learns it was refused") {
  const auto context = pki().server(true);
  Pair pair(*context, *pki().client("revoked"));
  CHECK_FALSE(pair.shake_hands());
  char buffer[16];
  if (pair.client->handshake() == HandshakeStatus::done) {
    CHECK(pair.client->read(buffer).status == ReadStatus::failed);
  }
  CHECK(pair.client->failure() == Failure::peer_alert);
  CHECK(pair.client->failure_text().find("peer refused: ") == 0);
}

TEST_CASE("stream: a client checks the server's name and CA") {
  Pair wrong_name(*pki().server(), *pki().client(), "other.example");
  CHECK_FALSE(wrong_name.shake_hands());
  CHECK(wrong_name.client->failure() == Failure::certificate_name);
  Pair wrong_address(*pki().server(), *pki().client(), "192.0.2.1");
  CHECK_FALSE(wrong_address.shake_hands());
  CHECK(wrong_address.client->failure() == Failure::certificate_name);
  const TestPki foreign("Foreign CA");
  Pair wrong_ca(*foreign.server(), *pki().client());
  CHECK_FALSE(wrong_ca.shake_hands());
  CHECK(wrong_ca.client->failure() == Failure::certificate_untrusted);
  const auto nameless = Stream::connect(*pki().client(), "");
  REQUIRE_FALSE(nameless);
  CHECK(nameless.error().message.find("server name") != std::string::npos);
}

TEST_CASE("stream: what is not TLS is refused at once, a beginning of TLS is waited for") {
  const std::string garbage[] = {
      "GET / HTTP/1.1\r\n\r\n",
      std::string(64, '\0'),
      std::string(64, '\xff'),
      std::string("\x00\x0a\x04\x00", 4) + "hello sink",              // a Sink frame in the clear
      std::string("\x16\x03\x01\xff\xff\x01", 6),                     // longer than a record may be
      std::string("\x17\x03\x03\x00\x05hello", 10),                   // data before any handshake
      std::string("\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9),         // an empty ClientHello
      std::string("\x80\x2e\x01\x00\x02", 5) + std::string(48, 'a'),  // SSL 2.0
  };
  const auto context = pki().server();
  for (const std::string& bytes : garbage) {
    auto server = *Stream::accept(*context);
    server->lend(bytes);
    CHECK(server->handshake() == HandshakeStatus::failed);
    CHECK(server->failure() != Failure::none);
    CHECK_FALSE(server->failure_text().empty());
  }
  auto server = *Stream::accept(*context);
  for (const char byte : std::string("\x16\x03\x01\x40\x00\x01\x00", 7)) {
    server->lend({&byte, 1});
    CHECK(server->handshake() == HandshakeStatus::want_read);
    server->settle();
  }
}

TEST_CASE("stream: versions before TLS 1.2, or below the configured one, are refused") {
  auto server = *Stream::accept(*pki().server());
  const SslCtxPtr old = pki().client_ssl_ctx("meter-1", pki().file("ca.pem"), TLS1_1_VERSION);
  PlainClient old_client(old.get());
  CHECK(old_client.shake_hands(*server) == HandshakeStatus::failed);
  CHECK(server->failure() == Failure::version);
  ServerOptions options = pki().server_options();
  options.min_version = MinVersion::tls_1_3;
  const auto strict = ServerContext::load(options, wall_ms());
  REQUIRE(strict);
  Pair pair(**strict, *client_of_version(TLS1_2_VERSION));
  CHECK_FALSE(pair.shake_hands());
  CHECK(pair.server->failure() == Failure::version);
  Pair newer(**strict, *client_of_version(TLS1_3_VERSION));
  CHECK(newer.shake_hands());
}

TEST_CASE("stream: renegotiation is refused and the session lives on") {
  auto server = *Stream::accept(*pki().server());
  const SslCtxPtr ctx = pki().client_ssl_ctx("meter-1", pki().file("ca.pem"), TLS1_2_VERSION);
  PlainClient client(ctx.get());
  REQUIRE(client.shake_hands(*server) == HandshakeStatus::done);
  SSL_renegotiate(client.ssl());
  SSL_do_handshake(client.ssl());
  const std::string hello = client.take_output();
  REQUIRE_FALSE(hello.empty());
  server->lend(hello);
  char buffer[16];
  CHECK(server->read(buffer).status == ReadStatus::want_read);
  server->settle();
  client.deliver(*server);
  CHECK(SSL_do_handshake(client.ssl()) != 1);
  CHECK(ERR_GET_REASON(ERR_peek_error()) == SSL_R_NO_RENEGOTIATION);
  CHECK(server->write("still here"));
}

TEST_CASE("stream: no session is resumed") {
  const auto context = pki().server();
  for (const int version : kVersions) {
    const SslCtxPtr ctx = pki().client_ssl_ctx("meter-1", pki().file("ca.pem"), version);
    auto first_server = *Stream::accept(*context);
    PlainClient first(ctx.get());
    REQUIRE(first.shake_hands(*first_server) == HandshakeStatus::done);
    REQUIRE(first_server->write("x"));
    first.deliver(*first_server);
    CHECK(first.read() == "x");
    CHECK((version == TLS1_2_VERSION ||
           SSL_SESSION_is_resumable(SSL_get0_session(first.ssl())) == 0));
    auto second_server = *Stream::accept(*context);
    PlainClient second(ctx.get());
    SSL_set_session(second.ssl(), SSL_get0_session(first.ssl()));
    REQUIRE(second.shake_hands(*second_server) == HandshakeStatus::done);
    CHECK(SSL_session_reused(second.ssl()) == 0);
  }
}

TEST_CASE("stream: the client_id comes from the certificate, until the peer is forgotten") {
  for (const int version : kVersions) {
    Pair pair(*pki().server(), *client_of_version(version));
    CHECK_FALSE(pair.server->client_id(ClientIdMode::common_name));
    REQUIRE(pair.shake_hands());
    CHECK(pair.server->client_id(ClientIdMode::common_name) == "meter-1");
    CHECK(pair.server->client_id(ClientIdMode::san_dns) == "meter-1");
    CHECK(pair.server->client_id(ClientIdMode::fingerprint)->size() == 64);
    CHECK(pair.server->client_id(ClientIdMode::san_uri).error() == IdentityError::absent);
    CHECK(pair.server->peer().link_count == 1);
    pair.server->forget_peer();
    pair.server->forget_peer();
    CHECK(pair.server->peer().link_count == 0);
    CHECK_FALSE(pair.server->client_id(ClientIdMode::common_name));
    CHECK_FALSE(pair.server->client_id(ClientIdMode::fingerprint));
  }
}

TEST_CASE("stream: a forgotten peer's session goes on, encrypted, through key updates") {
  const auto context = pki().server();
  for (const int version : kVersions) {
    auto server = *Stream::accept(*context);
    const SslCtxPtr ctx = pki().client_ssl_ctx("meter-1", pki().file("ca.pem"), version);
    PlainClient client(ctx.get());
    REQUIRE(client.shake_hands(*server) == HandshakeStatus::done);
    server->forget_peer();
    for (int round = 0; round < 5; ++round) {
      if (version == TLS1_3_VERSION) SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED);
      REQUIRE(SSL_write(client.ssl(), "question", 8) == 8);
      const std::string bytes = client.take_output();
      server->lend(bytes);
      CHECK(read_all(*server) == "question");
      server->settle();
      REQUIRE(server->write("plain answer"));
      CHECK(server->pending_output().find("answer") == std::string_view::npos);
      client.deliver(*server);
      CHECK(client.read() == "plain answer");
    }
    server->shutdown();
    client.deliver(*server);
    CHECK(client.read().empty());
    CHECK((SSL_get_shutdown(client.ssl()) & SSL_RECEIVED_SHUTDOWN) != 0);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("stream: an idle connection costs less than 16 KiB") {
  constexpr size_t kConnections = 200;
  for (const int version : kVersions) {
    const auto server_context = pki().server();
    const auto client_context = client_of_version(version);
    std::vector<std::unique_ptr<Stream>> idle;
    idle.reserve(kConnections + 1);
    size_t before = 0;
    for (size_t i = 0; i <= kConnections; ++i) {
      Pair pair(*server_context, *client_context);
      REQUIRE(pair.shake_hands());
      pair.server->forget_peer();
      REQUIRE(pair.client->write("hello"));
      carry(*pair.client, *pair.server, 7, false);
      CHECK(read_all(*pair.server) == "hello");
      REQUIRE(pair.server->write("hello"));
      pair.server->consume_output(pair.server->pending_output().size());
      idle.push_back(std::move(pair.server));
      pair.client.reset();
      if (i == 0) before = mallinfo2().uordblks;
    }
    const size_t bytes = (mallinfo2().uordblks - before) / kConnections;
    MESSAGE("idle connection: " << bytes << " bytes, " << std::string(idle.back()->version()));
    // The figure is OpenSSL 3.0's; its later releases have larger objects.
    const bool openssl_3_0 = OpenSSL_version_num() >> 20 == 0x300;
    CHECK(bytes < (openssl_3_0 ? 16 : 24) * 1024);
  }
}
#endif

}  // namespace sink::tls::test
