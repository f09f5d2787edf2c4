#include "daemon/config/validate.h"

#include <sys/un.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "daemon/broker/application_versions.h"
#include "daemon/config/address.h"
#include "daemon/config/rule_check.h"
#include "daemon/config/units.h"
#include "protocol/endpoint.h"

namespace sink::config {
namespace {

constexpr size_t kNameMax = 255;
constexpr uint64_t kSegmentsMin = 4;  // one open, one being filled ahead, one trimmed, one spare

void check_server(const Server& server, RuleCheck& check) {
  if (server.name.empty() || server.name.size() > kNameMax)
    check.refuse("server.name", "has " + std::to_string(server.name.size()) + " bytes",
                 "give this broker a name of 1 to 255 bytes, such as \"gateway-7\"");
  if (server.data_dir.empty())
    check.refuse("server.data_dir", "is empty", "name a folder, such as \"/var/lib/sinkd\"");
  const auto versions = broker::ApplicationVersions::parse(server.application_versions);
  if (!versions)
    check.refuse("server.application_versions", versions.error(),
                 "write globs or ranges: [\"1.4.*\", \">=2.0.0, <3.0.0\"], or [\"*\"] for any");
}

void check_admin(const Admin& admin, RuleCheck& check) {
  if (admin.socket.empty() || admin.socket.size() >= sizeof(sockaddr_un::sun_path))
    check.refuse("admin.socket", "has " + std::to_string(admin.socket.size()) + " bytes",
                 "name a path of 1 to " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                     " bytes, such as \"/run/sinkd/control.sock\"");
}

void check_http(const Http& http, RuleCheck& check) {
  if (http.address.empty()) return;
  const auto address = parse_address(http.address);
  if (!address || address->kind == Address::Kind::unix_socket) {
    check.refuse("http.address", "\"" + http.address + "\" is not an address",
                 "write IP:PORT such as \"127.0.0.1:9464\", or \"\" for off");
  } else if (!address->is_local) {
    check.refuse("http.address", "\"" + http.address + "\" is reachable from other hosts",
                 "HTTP here asks for no password: use 127.0.0.1 or [::1], and a proxy in front");
  }
}

void check_store(const Store& store, RuleCheck& check) {
  if (check.doubtful("store.max_size") || check.doubtful("store.segment_size")) return;
  if (store.max_size_bytes / kSegmentsMin >= store.segment_size_bytes) return;
  const char* key = check.written("store.max_size") ? "store.max_size" : "store.segment_size";
  check.refuse(key,
               "max_size " + format_size(store.max_size_bytes) + " is less than 4 segments of " +
                   format_size(store.segment_size_bytes),
               "raise max_size to \"" + format_size(kSegmentsMin * store.segment_size_bytes) +
                   "\" or more, or lower segment_size");
}

void check_plaintext(const Listener& listener, const std::string& path, RuleCheck& check) {
  const auto address = parse_address(listener.address);
  if (address && !address->is_local)
    check.refuse(path + ".address",
                 "a plaintext listener on \"" + listener.address + "\" is open to other hosts",
                 "listen on 127.0.0.1, [::1] or unix:/path, or give it certificates instead");
  if (listener.client_id != ClientIdFrom::instance_id)
    check.refuse(path + ".client_id", "a plaintext listener has no certificate to take it from",
                 "write client_id = \"instance_id\" or leave it out");
  for (const char* key :
       {".certificate", ".private_key", ".client_ca", ".client_crl", ".tls_min"}) {
    if (check.written(path + key))
      check.refuse(path + key, "has no effect on a plaintext listener",
                   "remove it, or remove plaintext = true");
  }
}

void check_tls(const Listener& listener, const std::string& path, RuleCheck& check) {
  if (listener.client_id == ClientIdFrom::instance_id)
    check.refuse(path + ".client_id", "\"instance_id\" is for plaintext listeners only",
                 "take it from the certificate: common_name, san_uri, san_dns or fingerprint");
  const auto need = [&](const char* key, const std::string& value, const char* what) {
    if (value.empty())
      check.refuse(path + key, std::string("is missing: a TLS listener needs ") + what,
                   "name the PEM file; on loopback, plaintext = true needs none");
  };
  need(".certificate", listener.certificate, "its certificate chain");
  need(".private_key", listener.private_key, "the key of its certificate");
  need(".client_ca", listener.client_ca, "the CA that signs its clients' certificates");
}

void check_listeners(const Config& config, RuleCheck& check) {
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    const std::string path = "listener[" + std::to_string(i) + "]";
    if (listener.address.empty()) {
      check.refuse(path + ".address", "is missing", "write address = \"0.0.0.0:2020\", say");
    } else if (const auto address = parse_address(listener.address); !address) {
      check.refuse(path + ".address", "\"" + listener.address + "\" is not an address",
                   address.error());
    } else if (address->kind == Address::Kind::unix_socket || address->port != 0) {
      if (!seen.emplace(listener.address, i).second)
        check.refuse(path + ".address", "\"" + listener.address + "\" has a listener already",
                     "give every listener an address of its own");
    }
    if (check.doubtful(path + ".plaintext")) continue;
    if (listener.plaintext) {
      check_plaintext(listener, path, check);
    } else {
      check_tls(listener, path, check);
    }
  }
}

void check_subscriptions(const Config& config, RuleCheck& check) {
  std::map<std::string, std::string> seen;
  for (size_t i = 0; i < config.subscriptions.size(); ++i) {
    const broker::SubscriptionSpec& spec = config.subscriptions[i];
    const std::string path = "subscription[" + std::to_string(i) + "]";
    check_subscription(spec, path, check);
    const auto [first, is_new] = seen.emplace(spec.name, path);
    if (is_new || spec.name.empty()) continue;
    const auto origin = config.origins.find(first->second);
    const std::string where =
        origin == config.origins.end()
            ? ""
            : " at " + origin->second.file + ":" + std::to_string(origin->second.line);
    check.refuse(path + ".name",
                 "\"" + spec.name + "\" is the name of another subscription" + where,
                 "names are unique: choose another one");
  }
}

// Globs that no name of a service without its version could match.
void check_service_names(const std::vector<std::string>& names, const std::string& key,
                         RuleCheck& check) {
  for (const std::string& name : names) {
    if (name.empty()) check.refuse(key, "has an empty pattern", "write [\"com.example.*\"]");
    if (const size_t version = name.find('@'); version != std::string::npos)
      check.refuse(key, "\"" + name + "\" has a version: names are matched without it",
                   "write [\"" + name.substr(0, version) + "\"]");
  }
}

void check_client_policies(const Config& config, RuleCheck& check) {
  for (size_t i = 0; i < config.client_policies.size(); ++i) {
    const broker::ClientPolicy& policy = config.client_policies[i];
    const std::string path = "client_policy[" + std::to_string(i) + "]";
    if (policy.clients.empty())
      check.refuse(path + ".clients", "is empty",
                   "write a glob of client_ids, such as \"panel-*\"");
    if (policy.subscriptions_max > 0 && policy.sources.empty())
      check.refuse(path + ".sources", "is missing or empty, so no subscription is granted",
                   "write whose events these clients may subscribe to, such as [\"meter-*\"]");
    if (policy.seek && policy.sources.empty())
      check.refuse(path + ".sources", "is missing or empty, so there is nothing to read",
                   "write whose events these clients may read, such as [\"meter-*\"]");
    check_service_names(policy.expose, path + ".expose", check);
    check_service_names(policy.lookup, path + ".lookup", check);
  }
}

void check_uplink(const Uplink& uplink, const std::string& path, RuleCheck& check) {
  if (!broker::is_subscription_name(uplink.spec.name))
    check.refuse(path + ".name", "\"" + uplink.spec.name + "\" is not a name",
                 "write 1 to 128 letters, digits and . _ - : @, such as \"cloud\"");
  if (uplink.spec.servers.empty())
    check.refuse(path + ".servers", "is missing or empty",
                 "name one server or more, such as [\"eu.example.com:2020\"]");
  for (const std::string& server : uplink.spec.servers)
    if (const auto endpoint = protocol::parse_endpoint(server); !endpoint)
      check.refuse(path + ".servers", "names no server: " + endpoint.error(),
                   "write [\"eu.example.com:2020\"]");
  const auto need = [&](const char* key, const std::string& value, const char* what) {
    if (value.empty())
      check.refuse(path + key, std::string("is missing: an uplink needs ") + what,
                   "name the PEM file");
  };
  need(".certificate", uplink.certificate, "the certificate that its servers know this gateway by");
  need(".private_key", uplink.private_key, "the key of its certificate");
  need(".server_ca", uplink.server_ca, "the CA that has signed its servers' certificates");
  if (uplink.spec.links > 1 && !uplink.spec.version_1)
    check.refuse(path + ".links", "is " + std::to_string(uplink.spec.links) +
                                      ", and version 0 has one connection only",
                 "leave it out, or let protocol name version 1");
  if (uplink.spec.application_version.size() > kNameMax)
    check.refuse(path + ".application_version",
                 "has " + std::to_string(uplink.spec.application_version.size()) + " bytes",
                 "write at most 255 bytes, such as \"1.4.0\"");
}

void check_uplinks(const Config& config, RuleCheck& check) {
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < config.uplinks.size(); ++i) {
    const std::string path = "uplink[" + std::to_string(i) + "]";
    check_uplink(config.uplinks[i], path, check);
    if (!seen.emplace(config.uplinks[i].spec.name, i).second)
      check.refuse(path + ".name",
                   "\"" + config.uplinks[i].spec.name + "\" is the name of another uplink",
                   "names are unique: choose another one");
  }
}

void check_dial(const broker::DialSpec& dial, const Config& config, const std::string& path,
                RuleCheck& check) {
  if (dial.client.empty() || dial.client.size() > kNameMax || broker::is_uplink(dial.client))
    check.refuse(path + ".client", "is missing or no client_id",
                 "write the client_id that the device's certificate proves, such as \"meter-17\"");
  const auto endpoint = protocol::parse_endpoint(dial.address);
  if (!endpoint || endpoint->is_unix())
    check.refuse(path + ".address",
                 "names no device: " +
                     (endpoint ? "a unix socket is not called" : endpoint.error()),
                 "write where it listens, such as \"10.0.0.17:2021\"");
  const bool found = std::any_of(
      config.listeners.begin(), config.listeners.end(), [&](const Listener& listener) {
        return !listener.plaintext &&
               (dial.listener.empty() || dial.listener == listener.address);
      });
  if (!found)
    check.refuse(path + ".listener",
                 dial.listener.empty() ? "has no [[listener]] with certificates to speak for it"
                                       : "\"" + dial.listener + "\" is no [[listener]] with "
                                                               "certificates",
                 "name the address of one, whose certificate and client_ca are used");
}

void check_dials(const Config& config, RuleCheck& check) {
  std::set<std::string> seen;
  for (size_t i = 0; i < config.dials.size(); ++i) {
    const std::string path = "dial[" + std::to_string(i) + "]";
    check_dial(config.dials[i], config, path, check);
    if (!seen.insert(config.dials[i].client).second)
      check.refuse(path + ".client", "\"" + config.dials[i].client + "\" is dialled above already",
                   "a client has one [[dial]]: remove the other");
  }
}

}  // namespace

bool RuleCheck::doubtful(std::string_view key) const {
  if (doubts_.keys.contains(key)) return true;
  return !written(key) && doubts_.tables.contains(key.substr(0, key.rfind('.')));
}

void RuleCheck::refuse(const std::string& key, std::string message, std::string hint) {
  if (doubtful(key)) return;
  ConfigError error;
  error.key = key;
  error.message = std::move(message);
  error.hint = std::move(hint);
  auto origin = origins_.find(key);
  if (origin == origins_.end()) origin = origins_.find(key.substr(0, key.rfind('.')));
  if (origin != origins_.end()) {
    error.file = origin->second.file;
    error.line = origin->second.line;
    error.column = origin->second.column;
  }
  errors_.push_back(std::move(error));
}

ConfigErrors validate(const Config& config, const Doubts& doubts) {
  RuleCheck check(config.origins, doubts);
  check_server(config.server, check);
  check_admin(config.admin, check);
  check_http(config.http, check);
  check_store(config.store, check);
  check_listeners(config, check);
  check_subscriptions(config, check);
  check_client_policies(config, check);
  check_uplinks(config, check);
  check_dials(config, check);
  return check.take_errors();
}

ConfigErrors validate_consumers(const Config& config, const Doubts& doubts) {
  RuleCheck check(config.origins, doubts);
  std::set<std::string> uplinks;
  for (const Uplink& uplink : config.uplinks)
    uplinks.insert(broker::client_id_of_uplink(uplink.spec.name));
  for (size_t i = 0; i < config.subscriptions.size(); ++i) {
    const std::string& consumer = config.subscriptions[i].consumer;
    if (broker::is_uplink(consumer) && uplinks.count(consumer) == 0)
      check.refuse("subscription[" + std::to_string(i) + "].consumer",
                   "\"" + consumer + "\" names no uplink",
                   "add an [[uplink]] of that name, or correct the name");
  }
  return check.take_errors();
}

}  // namespace sink::config
