// The options that pub, tap and bench share: which server, with which certificate, as which client.
// Responsible for the command line and for turning it into what the SDK wants. Invariant: prepare()
// touches no network, and its problems name the option to change.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "client/sink_client.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

struct DeviceOptions {
  std::string server;
  std::string certificate;
  std::string private_key;  // empty: the certificate's name with .key, as sinkctl pki makes it
  std::string ca;
  std::string server_name;  // empty: the host of `server`
  bool plaintext = false;
  std::string application_version = "sinkctl-" SINKD_VERSION;
  std::string state;  // file of instance ids; empty: forgotten with the process
  uint64_t wait_ms = 0;
};

// --server, --ca, --plaintext, --server-name, --client-version and --wait.
void add_server_options(CLI::App& verb, DeviceOptions& options);
// --cert, --private-key and --state (not --key: that is an event's).
void add_identity_options(CLI::App& verb, DeviceOptions& options);

struct DeviceSetup {
  client::Options client;
  std::shared_ptr<client::Persistence> persistence;
};
[[nodiscard]] tl::expected<DeviceSetup, Problem> prepare(const DeviceOptions& options);

}  // namespace sink::tools
