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
  std::string Listener::*file;
  std::string_view label;  // part of the PEM label that must occur
  const char* what;
};

constexpr FileRole kRoles[] = {
    {".certificate", &Listener::certificate, "BEGIN CERTIFICATE-----", "a certificate in PEM"},
    {".private_key", &Listener::private_key, "PRIVATE KEY-----", "a private key in PEM"},
    {".client_ca", &Listener::client_ca, "BEGIN CERTIFICATE-----", "a CA certificate in PEM"},
    {".client_crl", &Listener::client_crl, "BEGIN X509 CRL-----", "a revocation list in PEM"},
};

void check_file(const std::string& path, const std::string& key, const FileRole& role,
                RuleCheck& check) {
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
    for (const FileRole& role : kRoles) {
      const std::string& path = listener.*role.file;
      if (path.empty()) continue;  // optional, or refused by validate already
      check_file(path, "listener[" + std::to_string(i) + "]" + role.key, role, check);
    }
  }
  return check.take_errors();
}

}  // namespace sink::config
