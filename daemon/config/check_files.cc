#include "daemon/config/check_files.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "daemon/config/file_text.h"
#include "daemon/config/rule_check.h"

namespace sink::config {
namespace {

constexpr size_t kReadMax = 1 << 20;  // a label further down than this is not looked for

struct FileRole {
  const char* key;
  std::string_view label;  // part of the PEM label that must occur
  const char* what;
};

constexpr FileRole kCertificate{".certificate", "BEGIN CERTIFICATE-----", "a certificate in PEM"};
constexpr FileRole kPrivateKey{".private_key", "PRIVATE KEY-----", "a private key in PEM"};
constexpr FileRole kClientCa{".client_ca", "BEGIN CERTIFICATE-----", "a CA certificate in PEM"};
constexpr FileRole kServerCa{".server_ca", "BEGIN CERTIFICATE-----", "a CA certificate in PEM"};
constexpr FileRole kClientCrl{".client_crl", "BEGIN X509 CRL-----", "a revocation list in PEM"};

void check_file(const std::string& path, const std::string& table, const FileRole& role,
                RuleCheck& check) {
  if (path.empty()) return;  // optional, or refused by validate already
  const std::string key = table + role.key;
  const FileText content = read_file(path, kReadMax);
  const std::string quoted = "\"" + path + "\"";
  if (content.error == ENOENT) {
    check.refuse(key, quoted + " does not exist",
                 std::string("put ") + role.what + " there, or run: sinkctl pki init");
  } else if (content.error != 0) {
    check.refuse(key, quoted + " cannot be read: " + std::strerror(content.error),
                 "let the user sinkd runs as read it");
  } else if (content.text.find(role.label) == std::string::npos) {
    check.refuse(key, quoted + " is not " + role.what,
                 "check that the files are not mixed up, and convert DER with openssl");
  } else if (content.text.find("ENCRYPTED PRIVATE KEY-----") != std::string::npos) {
    check.refuse(key, quoted + " needs a passphrase, which sinkd does not ask for",
                 "take the passphrase off: openssl pkey -in OLD -out NEW");
  }
}

}  // namespace

ConfigErrors check_files(const Config& config) {
  const Doubts no_doubts;
  RuleCheck check(config.origins, no_doubts);
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    if (listener.plaintext) continue;
    const std::string table = "listener[" + std::to_string(i) + "]";
    check_file(listener.certificate, table, kCertificate, check);
    check_file(listener.private_key, table, kPrivateKey, check);
    check_file(listener.client_ca, table, kClientCa, check);
    check_file(listener.client_crl, table, kClientCrl, check);
  }
  for (size_t i = 0; i < config.uplinks.size(); ++i) {
    const Uplink& uplink = config.uplinks[i];
    const std::string table = "uplink[" + std::to_string(i) + "]";
    check_file(uplink.certificate, table, kCertificate, check);
    check_file(uplink.private_key, table, kPrivateKey, check);
    check_file(uplink.server_ca, table, kServerCa, check);
  }
  return check.take_errors();
}

}  // namespace sink::config
