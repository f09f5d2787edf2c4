#include "tools/sinkctl/device_options.h"

#include "tls/context.h"
#include "tools/device/device_loop.h"
#include "tools/sinkctl/commands.h"

namespace sink::tools {
namespace {

tl::unexpected<Problem> usage(std::string what, std::string hint) {
  return tl::unexpected(Problem{ExitStatus::usage, std::move(what), std::move(hint)});
}

// "DIR/name.key" for "DIR/name.pem".
std::string key_beside(const std::string& certificate) {
  const size_t dot = certificate.rfind('.');
  const size_t slash = certificate.rfind('/');
  const bool has_ending = dot != std::string::npos && (slash == std::string::npos || dot > slash);
  return certificate.substr(0, has_ending ? dot : std::string::npos) + ".key";
}

tl::expected<void, Problem> prepare_tls(const DeviceOptions& options, client::Options& client) {
  if (options.plaintext) {
    if (options.certificate.empty() && options.private_key.empty() && options.ca.empty()) return {};
    return usage("--plaintext goes without certificates", "leave one or the other out");
  }
  if (options.certificate.empty() || options.ca.empty())
    return usage("TLS needs --cert and --ca",
                 "make some with: sinkctl pki init, sinkctl pki issue NAME; or use --plaintext on "
                 "loopback or a unix socket");
  tls::ClientOptions tls;
  tls.certificate_file = options.certificate;
  tls.private_key_file =
      options.private_key.empty() ? key_beside(options.certificate) : options.private_key;
  tls.server_ca_file = options.ca;
  auto loaded = tls::ClientContext::load(tls, unix_ms());
  if (!loaded) return tl::unexpected(Problem{ExitStatus::invalid, loaded.error().message, ""});
  client.tls = std::move(*loaded);
  return {};
}

}  // namespace

void add_server_options(CLI::App& verb, DeviceOptions& options) {
  verb.add_option("--server", options.server, "HOST:PORT, [IPV6]:PORT or unix:PATH")
      ->required()
      ->type_name("ADDRESS");
  verb.add_option("--ca", options.ca, "whose server certificates are trusted, PEM")
      ->type_name("FILE");
  verb.add_flag("--plaintext", options.plaintext, "no TLS; for loopback and unix sockets");
  verb.add_option("--server-name", options.server_name,
                  "name or address in the server's certificate [the host of --server]")
      ->type_name("NAME");
  verb.add_option("--client-version", options.application_version,
                  "application version to present [sinkctl-" SINKD_VERSION "]")
      ->type_name("TEXT");
  add_duration(verb, "--wait", options.wait_ms,
               "how long to keep trying to connect at the start [0s: one attempt]");
}

void add_identity_options(CLI::App& verb, DeviceOptions& options) {
  verb.add_option("--cert", options.certificate, "this client's certificate, PEM")
      ->type_name("FILE");
  verb.add_option("--private-key", options.private_key,
                  "its private key, PEM [the certificate's name with .key]")
      ->type_name("FILE");
  verb.add_option(
          "--state", options.state,
          "file that keeps the instance ids from run to run; a server refuses a client that "
          "has lost them")
      ->type_name("FILE");
}

tl::expected<DeviceSetup, Problem> prepare(const DeviceOptions& options) {
  DeviceSetup setup;
  auto server = protocol::parse_endpoint(options.server);
  if (!server) return usage("--server " + server.error(), "");
  setup.client.server = std::move(*server);
  if (auto tls = prepare_tls(options, setup.client); !tls) return tl::unexpected(tls.error());
  setup.client.server_name = options.server_name;
  if (setup.client.tls != nullptr && setup.client.server.is_unix() && options.server_name.empty())
    return usage("TLS over a unix socket needs --server-name", "or use --plaintext");
  setup.client.application_version = options.application_version;
  // The commands wait for the server; what they were given is published or reported as unanswered.
  setup.client.overflow = client::Overflow::refuse;
  setup.client.queue_events = size_t{1000} + protocol::kWindowMax;
  setup.client.queue_age_ms = 0;
  setup.client.keep_session = false;  // a command ends when its work is done: nothing goes on later
  if (options.state.empty()) {
    setup.persistence = std::make_shared<client::MemoryPersistence>();
  } else {
    setup.persistence = std::make_shared<client::FilePersistence>(options.state);
  }
  return setup;
}

}  // namespace sink::tools
