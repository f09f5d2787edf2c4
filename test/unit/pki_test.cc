// The development CA: files and modes, nothing overwritten unasked, and what OpenSSL makes of the
// result. That TLS accepts or refuses the certificates is tested in tls_test.cc.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "test/unit/tls_pair.h"
#include "tls/pem_file.h"

namespace sink::tools {
namespace {

using tls::test::Directory;

unsigned mode_of(const std::string& file) {
  struct stat status = {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  return status.st_mode & 0777;
}

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

tls::X509Ptr certificate(const std::string& file) {
  auto read = tls::read_certificates(file);
  REQUIRE(read);
  CHECK(read->size() == 1);
  return std::move(read->front());
}

IssueOptions named(const std::string& name) {
  IssueOptions options;
  options.name = name;
  return options;
}

size_t entries(const std::string& dir) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    CHECK(entry.path().filename().string().find(".new-") == std::string::npos);
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("pki: init makes the directory, a CA for ten years, its key and an empty list") {
  const Directory dir;
  const std::string ca = dir / "ca";
  REQUIRE(init_ca(ca, {}));
  CHECK(entries(ca) == 3);
  CHECK(mode_of(ca + "/ca.key") == 0600);
  CHECK(mode_of(ca + "/ca.pem") == 0644);
  const auto root = certificate(ca + "/ca.pem");
  CHECK(X509_check_ca(root.get()) == 1);
  CHECK(X509_verify(root.get(), X509_get0_pubkey(root.get())) == 1);
  int days = 0;
  int seconds = 0;
  REQUIRE(ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(root.get())) == 1);
  CHECK((days == 3649 || days == 3650));
}

TEST_CASE("pki: nothing is overwritten without force") {
  const Directory dir;
  REQUIRE(init_ca(dir.path(), {}));
  const std::string before = text_of(dir / "ca.key");
  const auto again = init_ca(dir.path(), {});
  REQUIRE_FALSE(again);
  CHECK(again.error().code == PkiErrorCode::exists);
  CHECK(again.error().message.find("ca.pem: exists already") != std::string::npos);
  CHECK(text_of(dir / "ca.key") == before);
  REQUIRE(issue(dir.path(), named("meter-1")));
  CHECK(issue(dir.path(), named("meter-1")).error().code == PkiErrorCode::exists);
  IssueOptions forced = named("meter-1");
  forced.force = true;
  const std::string first = text_of(dir / "meter-1.key");
  REQUIRE(issue(dir.path(), forced));
  CHECK(text_of(dir / "meter-1.key") != first);
  CHECK(mode_of(dir / "meter-1.key") == 0600);
  CaOptions anew;
  anew.force = true;
  REQUIRE(init_ca(dir.path(), anew));
  CHECK(text_of(dir / "ca.key") != before);
  // A key alone is protected too.
  std::filesystem::remove(dir / "meter-1.pem");
  CHECK(issue(dir.path(), named("meter-1")).error().code == PkiErrorCode::exists);
}

TEST_CASE("pki: issued certificates carry their names, usage and validity") {
  const Directory dir;
  REQUIRE(init_ca(dir.path(), {}));
  const auto root = certificate(dir / "ca.pem");
  IssueOptions options = named("gateway-7");
  options.kind = CertificateKind::both;
  options.san_dns = {"gateway-7.example", "localhost"};
  options.san_ip = {"127.0.0.1", "::1"};
  options.san_uri = {"urn:sink:gateway-7,DNS:not-a-name"};
  options.out_prefix = dir / "elsewhere";
  const auto issued = issue(dir.path(), options);
  REQUIRE(issued);
  CHECK(issued->certificate_file == dir / "elsewhere.pem");
  CHECK(mode_of(issued->private_key_file) == 0600);
  const auto leaf = certificate(issued->certificate_file);
  CHECK(X509_verify(leaf.get(), X509_get0_pubkey(root.get())) == 1);
  CHECK(X509_check_host(leaf.get(), "gateway-7.example", 0, 0, nullptr) == 1);
  CHECK(X509_check_host(leaf.get(), "not-a-name", 0, 0, nullptr) == 0);
  CHECK(X509_check_ip_asc(leaf.get(), "127.0.0.1", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "::1", 0) == 1);
  CHECK(X509_check_purpose(leaf.get(), X509_PURPOSE_SSL_CLIENT, 0) == 1);
  CHECK(X509_check_purpose(leaf.get(), X509_PURPOSE_SSL_SERVER, 0) == 1);
  const auto key = tls::read_private_key(issued->private_key_file);
  REQUIRE(key);
  CHECK(X509_check_private_key(leaf.get(), key->get()) == 1);

  REQUIRE(issue(dir.path(), named("meter-1")));
  const auto client = certificate(dir / "meter-1.pem");
  CHECK(X509_check_purpose(client.get(), X509_PURPOSE_SSL_SERVER, 0) == 0);
  CHECK(X509_cmp_current_time(X509_get0_notAfter(client.get())) > 0);
  IssueOptions expired = named("meter-2");
  expired.days = -3;
  REQUIRE(issue(dir.path(), expired));
  CHECK(X509_cmp_current_time(X509_get0_notAfter(certificate(dir / "meter-2.pem").get())) < 0);
}

TEST_CASE("pki: a server without names gets its own") {
  const Directory dir;
  REQUIRE(init_ca(dir.path(), {}));
  IssueOptions options = named("broker.example");
  options.kind = CertificateKind::server;
  REQUIRE(issue(dir.path(), options));
  CHECK(X509_check_host(certificate(dir / "broker.example.pem").get(), "broker.example", 0, 0,
                        nullptr) == 1);
}

TEST_CASE("pki: options that make no sense are refused by name, and leave no files") {
  const Directory dir;
  REQUIRE(init_ca(dir.path(), {}));
  const auto refused = [&](const IssueOptions& options, const std::string& text) {
    const auto issued = issue(dir.path(), options);
    REQUIRE_FALSE(issued);
    CHECK(issued.error().code == PkiErrorCode::invalid);
    CHECK_MESSAGE(issued.error().message.find(text) != std::string::npos, issued.error().message);
  };
  for (const char* name : {"", "a/b", ".hidden", "ca", "a\nb"}) refused(named(name), "name");
  refused(named(std::string(65, 'x')), "name");
  IssueOptions options = named("meter-1");
  options.days = 0;
  refused(options, "days");
  options = named("meter-1");
  options.san_ip = {"127.0.0.1", "not-an-address"};
  refused(options, "not-an-address");
  options = named("meter-1");
  options.san_dns = {""};
  refused(options, "san_dns");
  CHECK(entries(dir.path()) == 3);
}

TEST_CASE("pki: without a CA the error says how to make one") {
  const Directory dir;
  const auto issued = issue(dir.path(), named("meter-1"));
  REQUIRE_FALSE(issued);
  CHECK(issued.error().code == PkiErrorCode::missing);
  CHECK(issued.error().message.find("sinkctl pki init") != std::string::npos);
  const auto unwritable = init_ca(dir / "a/b/c", {});
  REQUIRE_FALSE(unwritable);
  CHECK(unwritable.error().message.find("a/b/c") != std::string::npos);
}

TEST_CASE("pki: revoke adds to the list, once, and only what the CA issued") {
  const Directory dir;
  const Directory other;
  REQUIRE(init_ca(dir.path(), {}));
  REQUIRE(init_ca(other.path(), {}));
  for (const char* name : {"a", "b"}) REQUIRE(issue(dir.path(), named(name)));
  REQUIRE(issue(other.path(), named("c")));
  CHECK(revoke(dir.path(), dir / "a.pem") == dir / "ca.crl");
  REQUIRE(revoke(dir.path(), dir / "b.pem"));
  const std::string before = text_of(dir / "ca.crl");
  REQUIRE(revoke(dir.path(), dir / "a.pem"));
  CHECK(text_of(dir / "ca.crl") == before);
  const auto foreign = revoke(dir.path(), other / "c.pem");
  REQUIRE_FALSE(foreign);
  CHECK(foreign.error().message.find("was not issued by") != std::string::npos);
  auto lists = tls::read_revocation_lists(dir / "ca.crl");
  REQUIRE(lists);
  const auto root = certificate(dir / "ca.pem");
  CHECK(X509_CRL_verify(lists->front().get(), X509_get0_pubkey(root.get())) == 1);
  CHECK(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(lists->front().get())) == 2);
}

}  // namespace sink::tools
