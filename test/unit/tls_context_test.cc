// Contexts: what a load refuses and says, what it tells about its certificates, and how live peers
// are judged after a reload.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "test/unit/tls_pair.h"
#include "tls/record_inbox.h"

namespace sink::tls::test {
namespace {

void write(const std::string& file, const std::string& text) {
  std::ofstream(file) << text;
}

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

TlsError load_error(const ServerOptions& options, uint64_t now_ms = wall_ms()) {
  const auto context = ServerContext::load(options, now_ms);
  REQUIRE_FALSE(context);
  return context.error();
}

bool mentions(const TlsError& error, const std::string& text) {
  return error.message.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("context: a load that cannot succeed names the file, the fault and the next step") {
  TestPki pki;
  const ServerOptions good = pki.server_options();
  ServerOptions options = good;
  options.certificate_file = pki.file("nowhere.pem");
  TlsError error = load_error(options);
  CHECK(error.code == TlsErrorCode::file_missing);
  CHECK(mentions(error, "nowhere.pem: no such file"));

  options = good;
  options.private_key_file = pki.path();
  CHECK(load_error(options).code == TlsErrorCode::file_unreadable);

  options = good;
  options.private_key_file = pki.file("meter-1.key");
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::key_mismatch);
  CHECK((mentions(error, "meter-1.key") && mentions(error, "broker.pem")));

  options = good;
  options.client_ca_file = pki.file("broker.key");
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::not_pem);
  CHECK(mentions(error, "BEGIN CERTIFICATE"));

  options = good;
  options.private_key_file = pki.file("encrypted.key");
  write(options.private_key_file,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n");
  CHECK(mentions(load_error(options), "openssl pkey -in"));

  options = good;
  options.client_ca_file = pki.file("damaged.pem");
  write(options.client_ca_file,
        text_of(pki.file("ca.pem")) +
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::not_pem);
  CHECK(mentions(error, "certificate number 2"));

  options = good;
  options.certificate_file = pki.file("meter-1.pem");
  options.private_key_file = pki.file("meter-1.key");
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::wrong_usage);
  CHECK(mentions(error, "serverAuth"));

  options = good;
  options.client_ca_file = pki.file("meter-1.pem");
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::incomplete);
  CHECK(mentions(error, "CN=Test CA"));
}

TEST_CASE("context: expired certificates and lists are refused at load") {
  TestPki pki;
  pki.issue("old", tools::CertificateKind::server, -1);
  ServerOptions options = pki.server_options();
  options.certificate_file = pki.file("old.pem");
  options.private_key_file = pki.file("old.key");
  TlsError error = load_error(options);
  CHECK(error.code == TlsErrorCode::expired);
  CHECK(mentions(error, "old.pem: the certificate expired on 20"));

  tools::CaOptions brief;
  brief.common_name = "Brief CA";
  brief.days = -1;
  Directory dir;
  REQUIRE(tools::init_ca(dir.path(), brief));
  options = pki.server_options();
  options.client_ca_file = dir / "ca.pem";
  CHECK(load_error(options).code == TlsErrorCode::expired);

  // A list that is out of date, of a CA that is not.
  write(dir / "both.pem", text_of(dir / "ca.pem") + text_of(pki.file("ca.pem")));
  write(dir / "both.crl", text_of(dir / "ca.crl") + text_of(pki.file("ca.crl")));
  options.client_ca_file = dir / "both.pem";
  options.client_crl_file = dir / "both.crl";
  error = load_error(options);
  CHECK(error.code == TlsErrorCode::expired);
  CHECK(mentions(error, "Brief CA"));
}

TEST_CASE("context: with a revocation list every CA needs one of its own") {
  TestPki pki;
  const TestPki other("Other CA");
  const TestPki same_name("Test CA");
  ServerOptions options = pki.server_options();
  options.client_crl_file = other.file("ca.crl");
  CHECK(load_error(options).code == TlsErrorCode::incomplete);
  options.client_crl_file = same_name.file("ca.crl");  // right name, wrong signature
  CHECK(load_error(options).code == TlsErrorCode::incomplete);
  write(pki.file("two.pem"), text_of(pki.file("ca.pem")) + text_of(other.file("ca.pem")));
  write(pki.file("two.crl"), text_of(pki.file("ca.crl")) + text_of(other.file("ca.crl")));
  options.client_ca_file = pki.file("two.pem");
  options.client_crl_file = pki.file("two.crl");
  const auto context = ServerContext::load(options, wall_ms());
  REQUIRE(context);
  CHECK((*context)->certificates().size() == 5);
}

TEST_CASE("context: certificates() tells what was loaded") {
  TestPki pki;
  const auto context = pki.server(true);
  const auto& rows = context->certificates();
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].role == "server");
  CHECK(rows[0].file == pki.file("broker.pem"));
  CHECK(rows[0].subject == "CN=broker");
  CHECK(rows[0].issuer == "CN=Test CA");
  CHECK(rows[0].serial.size() == 32);
  CHECK(rows[0].not_before_ms < wall_ms());
  CHECK(rows[0].not_after_ms > wall_ms() + 29ull * 86'400'000);
  CHECK(rows[0].not_after_ms < wall_ms() + 31ull * 86'400'000);
  CHECK(rows[1].role == "client_ca");
  CHECK(rows[2].role == "client_crl");
  CHECK(rows[2].serial == "01");
  CHECK(pki.client()->certificates()[1].role == "server_ca");
}

TEST_CASE("context: a reload leaves live streams alone and tells whose time has come") {
  TestPki pki;
  pki.issue("meter-2", tools::CertificateKind::client);
  const TestPki other("Other CA");
  auto context = pki.server(true);
  Pair first(*context, *pki.client("meter-1"));
  Pair second(*context, *pki.client("meter-2"));
  REQUIRE(first.shake_hands());
  REQUIRE(second.shake_hands());
  const PeerRecord meter_1 = first.server->peer();
  const PeerRecord meter_2 = second.server->peer();
  CHECK(sizeof(PeerRecord) <= 100);
  first.server->forget_peer();
  CHECK(context->judge(meter_1, wall_ms()) == PeerStatus::valid);
  CHECK(context->judge(meter_1, wall_ms() + 40ull * 86'400'000) == PeerStatus::expired);
  CHECK(context->judge(PeerRecord{}, wall_ms()) == PeerStatus::untrusted);

  pki.revoke("meter-1");
  context = pki.server(true);
  CHECK(context->judge(meter_1, wall_ms()) == PeerStatus::revoked);
  CHECK(context->judge(meter_2, wall_ms()) == PeerStatus::valid);
  CHECK(other.server(true)->judge(meter_2, wall_ms()) == PeerStatus::untrusted);

  context.reset();
  REQUIRE(first.client->write("still talking"));
  carry(*first.client, *first.server, 4, false);
  CHECK(read_all(*first.server) == "still talking");
  Pair third(*pki.server(true), *pki.client("meter-1"));
  CHECK_FALSE(third.shake_hands());
  CHECK(third.server->failure() == Failure::certificate_revoked);
}

TEST_CASE("record inbox: hands over whole records only, at every cut") {
  const std::string records = std::string("\x16\x03\x01\x00\x03", 5) + "abc" +
                              std::string("\x17\x03\x03\x00\x00", 5) +
                              std::string("\x17\x03\x03\x00\x02", 5) + "de";
  for (size_t cut = 0; cut <= records.size(); ++cut) {
    RecordInbox inbox;
    std::string got;
    char buffer[4];
    const auto drain = [&] {
      while (const size_t n = inbox.take(buffer, sizeof buffer)) got.append(buffer, n);
    };
    auto front = std::make_unique<std::string>(records.substr(0, cut));
    inbox.lend(*front);
    drain();
    CHECK(got.size() == (cut < 8 ? 0 : cut < 13 ? 8 : cut < 20 ? 13 : 20));
    CHECK(inbox.available() == 0);
    CHECK(inbox.size() == cut - got.size());
    inbox.settle();
    front.reset();
    inbox.lend(std::string_view(records).substr(cut));
    drain();
    CHECK(got == records);
    CHECK(inbox.size() == 0);
  }
}

TEST_CASE("record inbox: two loans without settle keep their order") {
  RecordInbox inbox;
  inbox.lend(
      std::string_view("\x16\x03\x01\x00\x06"
                       "abc",
                       8));
  CHECK(inbox.available() == 0);
  inbox.lend("def");
  char buffer[32];
  const size_t size = inbox.take(buffer, sizeof buffer);
  CHECK(std::string(buffer, size) == std::string("\x16\x03\x01\x00\x06"
                                                 "abcdef",
                                                 11));
}

TEST_CASE("record inbox: what is not TLS is handed over as it comes") {
  RecordInbox inbox;
  inbox.lend("GET ");
  CHECK(inbox.available() == 0);
  inbox.settle();
  inbox.lend("/");
  CHECK(inbox.available() == 5);
  inbox.settle();
  inbox.lend("x");
  CHECK(inbox.available() == 6);
}

}  // namespace sink::tls::test
