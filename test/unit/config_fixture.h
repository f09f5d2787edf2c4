// What the configuration's tests share: good texts, the file of the documentation, a folder of its
// own.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/config/parse.h"

namespace sink::config::fixture {

inline constexpr const char* kPaths =
    "certificate = \"/c.pem\"\nprivate_key = \"/k.pem\"\nclient_ca = \"/a.pem\"\n";

inline Config good(const std::string& text) {
  const auto parsed = parse_text(text, "sinkd.toml");
  if (!parsed) FAIL(to_text(parsed.error().front()));
  return *parsed;
}

// A subscription named s for consumer c; `more` begins on line 4.
inline std::string subscription(const std::string& more) {
  return "[[subscription]]\nname = \"s\"\nconsumer = \"c\"\n" + more;
}

// Removed with everything in it at the end of its scope.
class Folder {
 public:
  Folder() {
    path_ = std::filesystem::temp_directory_path() /
            ("sinkd-config-test-" + std::to_string(getpid()) + "-" + std::to_string(++count_));
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file.string();
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

inline constexpr const char* kDocumented = R"([server]
name = "gateway-7"
data_dir = "/var/lib/sinkd"
# instance_id = 1234
application_versions = ["*"]
keepalive = "60s"
unrouted = "ack"

[admin]
socket = "/run/sinkd/control.sock"

[http]
address = "127.0.0.1:9464"

[store]
sync = "always"
commit_linger = "0ms"
segment_size = "64MiB"
max_size = "8GiB"
retain = "0s"

[limits]
connections = 100000
connections_unauthenticated = 256
in_flight = 1024
output_buffer = "1MiB"
clients = 200000
keys_per_client = 65536
commit_buffer = "16MiB"
cache = "32MiB"
session_ttl = "30s"
batch_events = 4096

[log]
level = "info"
format = "auto"

[[listener]]
address = "0.0.0.0:2020"
certificate = "/etc/sinkd/tls/server.pem"
private_key = "/etc/sinkd/tls/server.key"
client_ca = "/etc/sinkd/tls/ca.pem"
client_crl = ""
client_id = "common_name"
tls_min = "1.2"

[[listener]]
address = "127.0.0.1:2021"
plaintext = true
client_id = "instance_id"

[[subscription]]
name = "readings"
consumer = "backend"
sources = ["meter-*"]
event_types = [1, "10-19"]
keys = ["*"]
key_format = "{key}"
order = "key"
in_flight = 256
ack_timeout = "30s"
max_deliveries = 5
retry = ["1s", "5s", "30s"]
after_quarantine = "continue"
expire_after = "0s"

[[subscription.on_nack]]
machine = "01"
action = "retry"
)";

}  // namespace sink::config::fixture
