#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "daemon/config/parse.h"
#include "test/unit/config_fixture.h"

using namespace sink::config;
using namespace sink::config::fixture;
using sink::broker::EventTypeRange;
using sink::broker::NackAction;
using sink::broker::SubscriptionSpec;

namespace {

ConfigErrors errors_of(const std::string& text) {
  const auto parsed = parse_text(text, "sinkd.toml");
  return parsed ? ConfigErrors{} : parsed.error();
}

// Expects exactly one error, at `line`, about `key`, whose message or hint holds `part`.
void expect_error(const std::string& text, uint32_t line, const std::string& key,
                  const std::string& part) {
  const ConfigErrors errors = errors_of(text);
  CAPTURE(text);
  for (const ConfigError& error : errors) INFO(to_text(error));
  REQUIRE(errors.size() == 1);
  CAPTURE(to_text(errors[0]));
  CHECK(errors[0].file == "sinkd.toml");
  CHECK(errors[0].line == line);
  CHECK(errors[0].column > 0);
  CHECK(errors[0].key == key);
  CHECK((errors[0].message + errors[0].hint).find(part) != std::string::npos);
  CHECK_FALSE(errors[0].message.empty());
  CHECK_FALSE(errors[0].hint.empty());
}

}  // namespace

TEST_CASE("config: the documented file is read as it says") {
  const Config config = good(kDocumented);
  CHECK(config.server.name == "gateway-7");
  REQUIRE(config.listeners.size() == 2);
  CHECK(config.listeners[0].private_key == "/etc/sinkd/tls/server.key");
  CHECK_FALSE(config.listeners[0].plaintext);
  CHECK(config.listeners[1].plaintext);
  CHECK(config.listeners[1].client_id == ClientIdFrom::instance_id);
  REQUIRE(config.subscriptions.size() == 1);
  const SubscriptionSpec& spec = config.subscriptions[0];
  CHECK(spec.sources == std::vector<std::string>{"meter-*"});
  CHECK(spec.event_types == std::vector<EventTypeRange>{{1, 1}, {10, 19}});
  CHECK(spec.retry_ms == std::vector<uint64_t>{1'000, 5'000, 30'000});
  REQUIRE(spec.on_nack.size() == 1);
  CHECK(spec.on_nack[0].machine == "\x01");
}

TEST_CASE("config: the empty file is a valid one with the defaults") {
  const Config config = good("");
  CHECK(config.server.name == "sinkd");
  CHECK(config.server.keepalive_ms == 60'000);
  CHECK_FALSE(config.server.instance_id.has_value());
  CHECK(config.store.segment_size_bytes == 64u << 20);
  CHECK(config.store.max_size_bytes == 8ULL << 30);
  CHECK(config.limits.in_flight == 1'024);
  CHECK(config.listeners.empty());
  CHECK(config.origins.empty());
}

TEST_CASE("config: three mistakes are three errors with three lines") {
  const ConfigErrors errors = errors_of(
      "[server]\n"
      "keepalive = 60\n"
      "[store]\n"
      "segment_sizes = \"64MiB\"\n"
      "[limits]\n"
      "in_flight = 4096\n");
  REQUIRE(errors.size() == 3);
  CHECK(to_text(errors[0]) ==
        "sinkd.toml:2:13: server.keepalive: is a whole number, not a duration "
        "(a duration is text with its unit, such as \"60s\")");
  CHECK(to_text(errors[1]) ==
        "sinkd.toml:4:1: store.segment_sizes: unknown key (did you mean \"segment_size\"? allowed "
        "here: sync, commit_linger, segment_size, max_size, retain)");
  CHECK(to_text(errors[2]) ==
        "sinkd.toml:6:13: limits.in_flight: 4096 is out of range "
        "(write a number from 1 to 4095)");
}

TEST_CASE("config: a syntax error does not hide the mistakes after it, nor invent others") {
  const ConfigErrors errors = errors_of(
      "[server]\n"
      "keepalive = 60s\n"
      "[[listener]]\n"
      "address = 0.0.0.0:2020\n"
      "client_id = \"commonname\"\n" +
      std::string(kPaths) +
      "[[listener]]\n"
      "address = \"0.0.0.0:2021\"\n"
      "plaintext = true\n");
  REQUIRE(errors.size() == 4);
  CHECK(errors[0].line == 2);
  CHECK(errors[0].hint.find("\"60s\"") != std::string::npos);
  CHECK(errors[1].line == 4);
  CHECK(errors[2].line == 5);
  CHECK(errors[2].hint.find("did you mean \"common_name\"") != std::string::npos);
  CHECK(errors[3].line == 10);
  CHECK(errors[3].message.find("open to other hosts") != std::string::npos);
}

TEST_CASE("config: a broken table header takes its own keys along and no others") {
  const ConfigErrors errors = errors_of(
      "[server]\nname = \"a\"\n[[subscription]\nname = \"x\"\nconsumer = \"c\"\n"
      "[store]\nmax_sise = \"1GiB\"\n");
  REQUIRE(errors.size() == 2);
  CHECK(errors[0].line == 3);
  CHECK(errors[1].key == "store.max_sise");
}

TEST_CASE("config: a key or table written twice is an error at the second") {
  expect_error("[server]\nname = \"a\"\nname = \"b\"\n", 3, "", "cannot redefine");
  expect_error("[log]\n[server]\n[log]\nlevel = \"info\"\n", 3, "", "cannot redefine");
}

TEST_CASE("config: bytes that are no text are one clear error") {
  CHECK(errors_of("name = \"\xff\xfe\"\n").size() == 1);
  CHECK(errors_of(std::string("\0\0\0", 3)).size() == 1);
  CHECK(errors_of("a = [[[[[[[[[[").size() == 1);
}

TEST_CASE("config: unknown keys and tables name what is allowed") {
  expect_error("[server]\nnam = \"x\"\n", 2, "server.nam", "did you mean \"name\"");
  expect_error("[severs]\n", 1, "severs", "did you mean \"server\"");
  expect_error("zzz = 1\n", 1, "zzz", "allowed here: server, admin, http, store, limits, log");
  expect_error(subscription("ack_timout = \"1s\"\n"), 4, "subscription[0].ack_timout",
               "did you mean \"ack_timeout\"");
  expect_error(subscription("[[subscription.on_nack]]\nmachine=\"01\"\naction=\"drop\"\nx=1\n"), 7,
               "subscription[0].on_nack[0].x", "allowed here: machine, action");
}

TEST_CASE("config: a misspelt key is not reported as missing as well") {
  expect_error(
      "[[listener]]\naddress = \"0.0.0.0:1\"\ncertificat = \"/c\"\nprivate_key = \"/k\"\n"
      "client_ca = \"/a\"\n",
      3, "listener[0].certificat", "did you mean \"certificate\"");
}

TEST_CASE("config: wrong types say what is there and what belongs there") {
  expect_error("[server]\nname = 7\n", 2, "server.name", "is a whole number, not text");
  expect_error("[limits]\nconnections = \"10\"\n", 2, "limits.connections", "without quotes");
  expect_error("[limits]\nconnections = 1.5\n", 2, "limits.connections", "is a fraction");
  expect_error("[server]\napplication_versions = \"*\"\n", 2, "server.application_versions",
               "a list of texts");
  expect_error("[server]\napplication_versions = [\"*\", 1]\n", 2, "server.application_versions",
               "is a whole number");
  expect_error("server = 1\n", 1, "server", "[server]");
  expect_error("[listener]\naddress = \"x\"\n", 1, "listener", "[[listener]]");
  expect_error("[[listener]]\naddress = \"127.0.0.1:1\"\nplaintext = \"true\"\n", 3,
               "listener[0].plaintext", "true or false");
}

TEST_CASE("config: durations and sizes need a unit that is known") {
  expect_error("[server]\nkeepalive = \"60\"\n", 2, "server.keepalive", "ms, s, m, h or d");
  expect_error("[server]\nkeepalive = \"1 s\"\n", 2, "server.keepalive", "not a duration");
  expect_error("[server]\nkeepalive = \"-1s\"\n", 2, "server.keepalive", "not a duration");
  expect_error("[store]\nmax_size = 8589934592\n", 2, "store.max_size", "\"8589934592B\"");
  expect_error("[store]\nmax_size = \"8GB\"\n", 2, "store.max_size", "GiB");
  expect_error("[store]\nmax_size = \"99999999999999999999TiB\"\n", 2, "store.max_size",
               "too large");
  expect_error(subscription("retry = [\"1s\", 5]\n"), 4, "subscription[0].retry", "\"5s\"");
}

TEST_CASE("config: ranges") {
  expect_error("[server]\nkeepalive = \"999ms\"\n", 2, "server.keepalive", "\"1s\"");
  expect_error("[store]\nsegment_size = \"255KiB\"\n", 2, "store.segment_size", "\"256KiB\"");
  expect_error("[store]\nmax_size = \"255MiB\"\n", 2, "store.max_size", "\"256MiB\" or more");
  expect_error("[store]\nsegment_size = \"512MiB\"\nmax_size = \"1GiB\"\n", 3, "store.max_size",
               "less than 4 segments");
  expect_error("[limits]\nin_flight = 0\n", 2, "limits.in_flight", "1 to 4095");
  expect_error("[limits]\nin_flight = -5\n", 2, "limits.in_flight", "1 to 4095");
  expect_error("[limits]\noutput_buffer = \"1KiB\"\n", 2, "limits.output_buffer", "128KiB");
  expect_error("[server]\ninstance_id = 4294967296\n", 2, "server.instance_id", "4294967295");
  expect_error(subscription("in_flight = 4096\n"), 4, "subscription[0].in_flight", "1 to 4095");
  expect_error(subscription("retry = []\n"), 4, "subscription[0].retry", "0 entries");
  CHECK(
      good("[limits]\nin_flight = 4095\n[server]\ninstance_id = 4294967295\n").server.instance_id ==
      4294967295u);
}

TEST_CASE("config: words out of a list") {
  expect_error("[server]\nunrouted = \"nak\"\n", 2, "server.unrouted", "did you mean \"nack\"");
  expect_error("[log]\nlevel = \"verbose\"\n", 2, "log.level", "\"debug\"");
  expect_error("[log]\nlevel = 3\n", 2, "log.level", "is a whole number, not text");
  expect_error("[[listener]]\naddress = \"[::]:1\"\ntls_min = \"1.1\"\n" + std::string(kPaths), 3,
               "listener[0].tls_min", "\"1.2\"");
  CHECK(good("[server]\nunrouted = \"nack\"\n").server.unrouted == Unrouted::nack);
}

TEST_CASE("config: the ways to sync") {
  CHECK(good("[store]\nsync = \"never\"\n").store.sync == SyncMode::never);
  const Config config = good("[store]\nsync = \"interval:250ms\"\n");
  CHECK(config.store.sync == SyncMode::interval);
  CHECK(config.store.sync_interval_ms == 250);
  expect_error("[store]\nsync = \"sometimes\"\n", 2, "store.sync", "interval:1s");
  expect_error("[store]\nsync = \"interval:1\"\n", 2, "store.sync", "interval:1s");
  expect_error("[store]\nsync = \"interval:0s\"\n", 2, "store.sync", "\"1ms\"");
  expect_error("[store]\nsync = true\n", 2, "store.sync", "always");
}

TEST_CASE("config: listeners and who may reach them") {
  const std::string plain = "[[listener]]\nplaintext = true\n";
  expect_error(plain + "address = \"0.0.0.0:1\"\n", 3, "listener[0].address", "other hosts");
  expect_error(plain + "address = \"[::]:1\"\n", 3, "listener[0].address", "other hosts");
  CHECK(good(plain + "address = \"127.8.9.1:1\"\n").listeners.size() == 1);
  CHECK(good(plain + "address = \"[::1]:1\"\n").listeners.size() == 1);
  CHECK(good(plain + "address = \"unix:/run/sinkd/local.sock\"\n").listeners[0].client_id ==
        ClientIdFrom::instance_id);
  expect_error(plain + "address = \"127.0.0.1:1\"\nclient_id = \"common_name\"\n", 4,
               "listener[0].client_id", "instance_id");
  expect_error(plain + "address = \"127.0.0.1:1\"\ncertificate = \"/c\"\n", 4,
               "listener[0].certificate", "no effect");
  expect_error(
      "[[listener]]\naddress = \"0.0.0.0:1\"\nclient_id = \"instance_id\"\n" + std::string(kPaths),
      3, "listener[0].client_id", "plaintext listeners only");
  expect_error("[[listener]]\naddress = \"localhost:1\"\nplaintext = true\n", 2,
               "listener[0].address", "IP:PORT");
  expect_error("[[listener]]\naddress = \"0.0.0.0:70000\"\n" + std::string(kPaths), 2,
               "listener[0].address", "65535");
  expect_error("[[listener]]\n" + std::string(kPaths), 1, "listener[0].address", "is missing");
  expect_error(plain + "address = \"127.0.0.1:1\"\n" + plain + "address = \"127.0.0.1:1\"\n", 6,
               "listener[1].address", "has a listener already");
}

TEST_CASE("config: a TLS listener without its files gets one error for each") {
  const ConfigErrors errors = errors_of("[log]\n[[listener]]\naddress = \"0.0.0.0:2020\"\n");
  REQUIRE(errors.size() == 3);
  for (const ConfigError& error : errors) CHECK(error.line == 2);
  CHECK(errors[0].key == "listener[0].certificate");
  CHECK(errors[1].key == "listener[0].private_key");
  CHECK(errors[2].key == "listener[0].client_ca");
}

TEST_CASE("config: server, admin and http") {
  expect_error("[server]\nname = \"\"\n", 2, "server.name", "1 to 255");
  expect_error("[server]\ndata_dir = \"\"\n", 2, "server.data_dir", "empty");
  expect_error("[server]\napplication_versions = [\">=x\"]\n", 2, "server.application_versions",
               "is not a version");
  expect_error("[server]\napplication_versions = []\n", 2, "server.application_versions", "empty");
  expect_error("[admin]\nsocket = \"\"\n", 2, "admin.socket", "control.sock");
  expect_error("[http]\naddress = \"0.0.0.0:9464\"\n", 2, "http.address", "other hosts");
  expect_error("[http]\naddress = \"9464\"\n", 2, "http.address", "IP:PORT");
  CHECK(good("[http]\naddress = \"\"\n").http.address.empty());
}

TEST_CASE("config: subscriptions must be named, addressed and unique") {
  expect_error("[[subscription]]\nconsumer = \"c\"\n", 1, "subscription[0].name", "missing");
  expect_error("[[subscription]]\nname = \"s\"\n", 1, "subscription[0].consumer", "missing");
  expect_error("[[subscription]]\nname = \"s\"\nconsumer = \"\"\n", 3, "subscription[0].consumer",
               "empty");
  expect_error("[[subscription]]\nname = \"a b\"\nconsumer = \"c\"\n", 2, "subscription[0].name",
               "letters");
  expect_error(subscription("") + subscription(""), 5, "subscription[1].name", "sinkd.toml:1");
  expect_error(subscription("sources = []\n"), 4, "subscription[0].sources", "meter-*");
  expect_error(subscription("keys = [\"\"]\n"), 4, "subscription[0].keys", "empty");
}

TEST_CASE("config: client policies grant what they name and nothing else") {
  const Config config = good(R"(
[limits]
session_ttl = "5s"
batch_events = 100
channel_events = 7
channel_bytes = "2KiB"
[[client_policy]]
clients = "panel-*"
sources = ["meter-*"]
event_types = [1, "10-19"]
subscriptions = 4
seek = true
expose = ["com.example.*"]
lookup = ["com.example.chat", "org.*"]
events_per_second = 100
bytes_per_second = "64KiB"
[[client_policy]]
)");
  CHECK(config.limits.session_ttl_ms == 5'000);
  CHECK(config.limits.batch_events == 100);
  CHECK(config.limits.channel_events == 7);
  CHECK(config.limits.channel_bytes == 2'048);
  REQUIRE(config.client_policies.size() == 2);
  const sink::broker::ClientPolicy& policy = config.client_policies[0];
  CHECK(policy.clients == "panel-*");
  CHECK(policy.sources == std::vector<std::string>{"meter-*"});
  CHECK(policy.event_types == std::vector<EventTypeRange>{{1, 1}, {10, 19}});
  CHECK(policy.keys == std::vector<std::string>{"*"});
  CHECK(policy.subscriptions_max == 4);
  CHECK(policy.seek);
  CHECK(policy.expose == std::vector<std::string>{"com.example.*"});
  CHECK(policy.lookup == std::vector<std::string>{"com.example.chat", "org.*"});
  CHECK(policy.rate == sink::broker::Rate{100, 65'536});
  CHECK(config.client_policies[1] == sink::broker::ClientPolicy{});
  expect_error("[[client_policy]]\nclients = \"\"\n", 2, "client_policy[0].clients", "panel-*");
  expect_error("[[client_policy]]\nsubscriptions = 1\n", 1, "client_policy[0].sources", "meter-*");
  expect_error("[[client_policy]]\nseek = true\n", 1, "client_policy[0].sources", "meter-*");
  expect_error("[[client_policy]]\nexpose = [\"a.b\", \"\"]\n", 2, "client_policy[0].expose",
               "com.example");
  expect_error("[[client_policy]]\nlookup = [\"a.b@1\"]\n", 2, "client_policy[0].lookup",
               "[\"a.b\"]");
  expect_error("[[client_policy]]\nlookup = \"a.b\"\n", 2, "client_policy[0].lookup", "");
  expect_error("[[client_policy]]\nevents_per_second = -1\n", 2,
               "client_policy[0].events_per_second", "10000000");
}

TEST_CASE("config: a dial names a client, its address and a listener with certificates") {
  const std::string listener = R"([[listener]]
address = "127.0.0.1:2020"
certificate = "g.pem"
private_key = "g.key"
client_ca = "ca.pem"
)";
  const std::string plain = "[[listener]]\naddress = \"127.0.0.1:2021\"\nplaintext = true\n"
                            "client_id = \"instance_id\"\n";
  const std::string dial = "[[dial]]\nclient = \"meter-17\"\naddress = \"10.0.0.17:2021\"\n";
  const Config config = good(listener + dial + "listener = \"127.0.0.1:2020\"\n");
  REQUIRE(config.dials.size() == 1);
  CHECK(config.dials[0].client == "meter-17");
  CHECK(config.dials[0].address == "10.0.0.17:2021");
  CHECK(config.dials[0].listener == "127.0.0.1:2020");
  CHECK(good(listener + dial).dials[0].listener.empty());
  expect_error(plain + dial, 5, "dial[0].listener", "certificate");
  expect_error(listener + dial + "listener = \"127.0.0.1:2021\"\n", 9, "dial[0].listener",
               "certificate");
  expect_error(listener + dial + dial, 10, "dial[1].client", "one [[dial]]");
  expect_error(listener + "[[dial]]\nclient = \"uplink:c\"\naddress = \"h:1\"\n", 7,
               "dial[0].client", "certificate");
  expect_error(listener + "[[dial]]\nclient = \"m\"\naddress = \"h\"\n", 8, "dial[0].address",
               "10.0.0.17:2021");
  expect_error(listener + "[[dial]]\nclient = \"m\"\naddress = \"unix:/m\"\n", 8,
               "dial[0].address", "10.0.0.17:2021");
  expect_error(listener + dial + "port = 1\n", 9, "dial[0].port", "");
}

TEST_CASE("config: an uplink has servers, three files and versions; subscriptions may name it") {
  const std::string whole = R"([[uplink]]
name = "cloud"
servers = ["eu.example.com:2020", "[::1]:2021"]
certificate = "g.pem"
private_key = "g.key"
server_ca = "ca.pem"
)";
  const Config config = good(whole + "protocol = [0]\napplication_version = \"1.4\"\nrate = 500\n");
  REQUIRE(config.uplinks.size() == 1);
  const auto& uplink = config.uplinks[0];
  CHECK(uplink.spec.name == "cloud");
  CHECK(uplink.spec.servers == std::vector<std::string>{"eu.example.com:2020", "[::1]:2021"});
  CHECK(uplink.server_ca == "ca.pem");
  CHECK(uplink.spec.version_0);
  CHECK_FALSE(uplink.spec.version_1);
  CHECK(uplink.spec.application_version == "1.4");
  CHECK(uplink.spec.rate == 500);
  CHECK(good(whole + "rate = \"250\"\n").uplinks[0].spec.rate == 250);
  for (const char* wrong : {"\"\"", "\"-1\"", "\"5/s\"", "\"10000001\"", "\"99999999999\""})
    expect_error(whole + "rate = " + wrong + "\n", 7, "uplink[0].rate", "from 0 to 10000000");
  CHECK(good(whole).uplinks[0].spec.links == 1);
  CHECK(good(whole).uplinks[0].spec.recycle_ms == 600'000);
  const Config pool = good(whole + "links = 16\nrecycle = \"0s\"\n");
  CHECK(pool.uplinks[0].spec.links == 16);
  CHECK(pool.uplinks[0].spec.recycle_ms == 0);
  expect_error(whole + "links = 0\n", 7, "uplink[0].links", "from 1 to 16");
  expect_error(whole + "links = 17\n", 7, "uplink[0].links", "from 1 to 16");
  expect_error(whole + "links = 2\nprotocol = [0]\n", 7, "uplink[0].links", "version 1");
  CHECK(good(whole).uplinks[0].spec.version_1);
  CHECK(good(whole).uplinks[0].spec.version_0);
  expect_error(whole + "protocol = [2]\n", 7, "uplink[0].protocol", "[1, 0]");
  expect_error(whole + "protocol = []\n", 7, "uplink[0].protocol", "[1, 0]");
  expect_error(whole + whole, 8, "uplink[1].name", "unique");
  expect_error("[[uplink]]\nname = \"a b\"\n" + whole.substr(whole.find("servers")), 2,
               "uplink[0].name", "cloud");
  expect_error("[[uplink]]\nname = \"c\"\nservers = [\"eu\"]\n" +
                   whole.substr(whole.find("certificate")),
               3, "uplink[0].servers", "eu.example.com:2020");
  expect_error(whole.substr(0, whole.find("server_ca")), 1, "uplink[0].server_ca", "PEM");
  const std::string forwards = "[[subscription]]\nname = \"up\"\nconsumer = \"uplink:cloud\"\n";
  CHECK(good(whole + forwards).subscriptions[0].consumer == "uplink:cloud");
  CHECK(good(whole + forwards).subscriptions[0].ack == sink::broker::AckWhen::stored);
  CHECK(good(whole + forwards + "ack = \"settled\"\n").subscriptions[0].ack ==
        sink::broker::AckWhen::settled);
  CHECK(good(whole + forwards + "priority = 9\n").subscriptions[0].priority == 9);
  expect_error(whole + forwards + "priority = 10\n", 10, "subscription[0].priority", "0 to 9");
  expect_error(forwards, 3, "subscription[0].consumer", "[[uplink]]");
}

TEST_CASE("config: newest_first gives up the order of keys, and says so") {
  CHECK_FALSE(good(subscription("order = \"none\"\n")).subscriptions[0].newest_first);
  CHECK(good(subscription("order = \"none\"\nnewest_first = true\n")).subscriptions[0].newest_first);
  CHECK_FALSE(good(subscription("newest_first = false\n")).subscriptions[0].newest_first);
  const auto line = [](const std::string& text) {
    return static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n'));
  };
  for (const char* order : {"", "order = \"key\"\n"}) {
    const std::string text = subscription(std::string(order) + "newest_first = true\n");
    expect_error(text, line(text), "subscription[0].newest_first", "order = \"none\"");
  }
  const std::string whole = "order = \"none\"\nack = \"settled\"\n";
  good(subscription(whole + "expire_after = \"1m\"\nnewest_first = true\n"));
  const std::string endless = subscription(whole + "newest_first = true\n");
  expect_error(endless, line(endless), "subscription[0].newest_first", "expire_after");
  const std::string text = subscription("newest_first = 1\n");
  expect_error(text, line(text), "subscription[0].newest_first", "true or false");
}

TEST_CASE("config: event types are numbers and ranges") {
  const auto types = [](const std::string& text) {
    return good(subscription("event_types = " + text + "\n")).subscriptions[0].event_types;
  };
  CHECK(types("[\"*\"]") == std::vector<EventTypeRange>{{}});
  CHECK(types("[\"7\", 0, \"18446744073709551615\"]") ==
        std::vector<EventTypeRange>{{7, 7}, {0, 0}, {UINT64_MAX, UINT64_MAX}});
  for (const char* bad :
       {"[\"19-10\"]", "[-1]", "[\"a\"]", "[\"1-\"]", "[\"-1\"]", "[1.5]", "[]", "1"})
    expect_error(subscription("event_types = " + std::string(bad) + "\n"), 4,
                 "subscription[0].event_types", "\"10-19\"");
}

TEST_CASE("config: placeholders in key_format and keys") {
  CHECK(good(subscription("key_format = \"{source}/{key}\"\n")).subscriptions.size() == 1);
  expect_error(subscription("key_format = \"{consumer}/{key}\"\n"), 4, "subscription[0].key_format",
               "{consumer}");
  expect_error(subscription("key_format = \"{key\"\n"), 4, "subscription[0].key_format", "{key");
  expect_error(subscription("key_format = \"{source}\"\n"), 4, "subscription[0].key_format",
               "no {key}");
  CHECK(good(subscription("keys = [\"{consumer}/*\", \"a\\\\{b\"]\n")).subscriptions.size() == 1);
  expect_error(subscription("keys = [\"{client}/*\"]\n"), 4, "subscription[0].keys", "{client}");
}

TEST_CASE("config: on_nack rows") {
  const std::string head = "[[subscription.on_nack]]\n";
  const Config config =
      good(subscription(head + "machine = \"01fF\"\naction = \"quarantine-client\"\n" + head +
                        "machine = \"*\"\naction = \"pause\"\n"));
  const auto& rules = config.subscriptions[0].on_nack;
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].machine == "\x01\xff");
  CHECK(rules[0].action == NackAction::quarantine_client);
  CHECK(rules[1].any);
  expect_error(subscription(head + "machine = \"0g\"\naction = \"drop\"\n"), 5,
               "subscription[0].on_nack[0].machine", "is not hex");
  expect_error(subscription(head + "machine = \"123\"\naction = \"drop\"\n"), 5,
               "subscription[0].on_nack[0].machine", "two hex digits per byte");
  expect_error(subscription(head + "machine = \"01\"\naction = \"ignore\"\n"), 6,
               "subscription[0].on_nack[0].action", "retry-uncounted");
  expect_error(subscription(head + "machine = \"01\"\n"), 4, "subscription[0].on_nack[0].action",
               "missing");
  expect_error(subscription(head + "action = \"drop\"\n"), 4, "subscription[0].on_nack[0].machine",
               "missing");
  expect_error(subscription(head + "machine = \"*\"\naction = \"drop\"\n" + head +
                            "machine = \"01\"\naction = \"retry\"\n"),
               8, "subscription[0].on_nack[1].machine", "never reached");
}

TEST_CASE("config: drop-in files come after the main file, in the order of their names") {
  const Folder folder;
  const std::string main_file =
      folder.write("sinkd.toml", "[server]\nname = \"a\"\nkeepalive = \"5s\"\n" + subscription(""));
  folder.write("conf.d/20-b.toml", "[server]\nname = \"c\"\n");
  folder.write("conf.d/10-a.toml",
               "[server]\nname = \"b\"\n[[subscription]]\nname = \"t\"\nconsumer = \"c\"\n");
  folder.write("conf.d/notes.txt", "not a configuration");
  const auto parsed = parse_files(main_file);
  REQUIRE(parsed.has_value());
  CHECK(parsed->server.name == "c");
  CHECK(parsed->server.keepalive_ms == 5'000);
  CHECK(parsed->subscriptions.size() == 2);
  CHECK(parsed->origins.at("server.name").file == folder / "conf.d/20-b.toml");
  CHECK(parsed->origins.at("subscription[1].name").line == 4);
}

TEST_CASE("config: errors of all files are reported, each with its file") {
  const Folder folder;
  const std::string main_file =
      folder.write("sinkd.toml", "[server]\nnaem = \"a\"\n" + subscription(""));
  const std::string other = folder.write("conf.d/a.toml", subscription("") + "x = \n");
  const auto parsed = parse_files(main_file);
  REQUIRE_FALSE(parsed.has_value());
  REQUIRE(parsed.error().size() == 3);
  CHECK(parsed.error()[0].file == other);
  CHECK(parsed.error()[0].line == 2);
  CHECK(parsed.error()[0].message.find(main_file + ":3") != std::string::npos);
  CHECK(parsed.error()[1].line == 4);
  CHECK(parsed.error()[2].file == main_file);
}

TEST_CASE("config: a file that is not there or is a folder is an error with its name") {
  const Folder folder;
  for (const std::string& path : {folder / "absent.toml", folder / "."}) {
    const auto parsed = parse_files(path);
    REQUIRE_FALSE(parsed.has_value());
    REQUIRE(parsed.error().size() == 1);
    CHECK(parsed.error()[0].file == path);
    CHECK(parsed.error()[0].message.find("cannot be read: ") == 0);
  }
}

TEST_CASE("config: one subscription from text, and nothing else") {
  const auto parsed = parse_subscription(subscription(""), "command line");
  REQUIRE(parsed.has_value());
  CHECK(parsed->name == "s");
  for (const std::string& text :
       {std::string(), subscription("") + "[[subscription]]\nname = \"t\"\nconsumer = \"c\"\n",
        "[server]\nname = \"x\"\n" + subscription(""), subscription("in_flight = 0\n")}) {
    const auto refused = parse_subscription(text, "command line");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().size() == 1);
    CHECK(refused.error()[0].file == "command line");
  }
}

TEST_CASE("config: every prefix of a file is read or refused with a bounded list") {
  const std::string text = kDocumented;
  for (size_t length = 0; length <= text.size(); ++length) {
    for (const ConfigError& error : errors_of(text.substr(0, length))) {
      CAPTURE(to_text(error));
      REQUIRE_FALSE(error.message.empty());
      REQUIRE_FALSE(error.hint.empty());
    }
  }
}
