#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/address.h"
#include "daemon/config/check_files.h"
#include "daemon/config/names.h"
#include "daemon/config/nearest.h"
#include "daemon/config/parse.h"
#include "daemon/config/render.h"
#include "daemon/config/to_toml.h"
#include "daemon/config/units.h"
#include "test/unit/config_fixture.h"

using namespace sink::config;
using namespace sink::config::fixture;
using sink::admin::ConfigRow;
using sink::broker::EventTypeRange;
using sink::broker::NackAction;
using sink::broker::SubscriptionSpec;

namespace {

const ConfigRow* row(const std::vector<ConfigRow>& rows, const std::string& key) {
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [&](const ConfigRow& each) { return each.key == key; });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE("config: the defaults are what the documented file writes") {
  const std::vector<ConfigRow> written = render(good(kDocumented));
  const std::vector<ConfigRow> defaults =
      render(good("[[listener]]\naddress = \"0.0.0.0:2020\"\n" + std::string(kPaths) +
                  "[[listener]]\naddress = \"127.0.0.1:2021\"\nplaintext = true\n"
                  "[[subscription]]\nname = \"readings\"\nconsumer = \"backend\"\n"));
  const std::set<std::string> examples = {"server.name",
                                          "listener[0.0.0.0:2020].certificate",
                                          "listener[0.0.0.0:2020].private_key",
                                          "listener[0.0.0.0:2020].client_ca",
                                          "subscription[readings].sources",
                                          "subscription[readings].event_types",
                                          "subscription[readings].on_nack"};
  REQUIRE(written.size() == defaults.size());
  for (size_t i = 0; i < written.size(); ++i) {
    CHECK(written[i].key == defaults[i].key);
    CAPTURE(written[i].key);
    if (!examples.contains(written[i].key)) CHECK(written[i].value == defaults[i].value);
  }
}

TEST_CASE("config: certificate files are looked at separately, all of them") {
  const Folder folder;
  const std::string pem = folder.write("c.pem", "-----BEGIN CERTIFICATE-----\n");
  const std::string key = folder.write("k.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
  const auto listener = [&](const std::string& certificate, const std::string& private_key,
                            const std::string& ca) {
    return good("[[listener]]\naddress = \"0.0.0.0:1\"\ncertificate = \"" + certificate +
                "\"\nprivate_key = \"" + private_key + "\"\nclient_ca = \"" + ca + "\"\n");
  };
  const ConfigErrors errors = check_files(listener(folder / "absent", key, key));
  REQUIRE(errors.size() == 3);
  CHECK(errors[0].key == "listener[0].certificate");
  CHECK(errors[0].line == 3);
  CHECK(errors[0].message.find("does not exist") != std::string::npos);
  CHECK(errors[1].message.find("passphrase") != std::string::npos);
  CHECK(errors[2].message.find("is not a CA certificate in PEM") != std::string::npos);
  CHECK(check_files(listener(folder / ".", pem, pem)).size() == 2);
  const std::string plain_key = folder.write("p.pem", "-----BEGIN PRIVATE KEY-----\n");
  CHECK(check_files(listener(pem, plain_key, pem)).empty());
}

TEST_CASE("config: a subscription survives the way to TOML and back") {
  SubscriptionSpec spec;
  spec.name = "read:ings-1.x";
  spec.consumer = "back*\"\\\x01\n\x7f\xc3\xa9";
  spec.sources = {"a", "b-[0-9]", "\\*"};
  spec.event_types = {{}, {0, 0}, {5, 9}, {UINT64_MAX, UINT64_MAX}, {7, UINT64_MAX}};
  spec.keys = {"{consumer}/*"};
  spec.key_format = "{source}/{key}";
  spec.order = sink::broker::Order::none;
  spec.in_flight = 4'095;
  spec.ack_timeout_ms = 1'500;
  spec.max_deliveries = 0;
  spec.retry_ms = {1, 86'400'000};
  spec.after_quarantine = sink::broker::AfterQuarantine::hold_key;
  spec.expire_after_ms = 3'600'000;
  spec.held_max = 1;
  spec.quarantine_max = 2;
  for (const auto& name : kNackActionNames)
    spec.on_nack.push_back(
        {false, std::string(1, static_cast<char>(0xf0 + int(name.value))), name.value});
  spec.on_nack.push_back({true, "", NackAction::hold});
  const auto parsed = parse_subscription(to_toml(spec), "round trip");
  if (!parsed) FAIL(to_text(parsed.error().front()));
  CHECK(*parsed == spec);
  const SubscriptionSpec defaults = good(subscription("")).subscriptions[0];
  CHECK(parse_subscription(to_toml(defaults), "round trip") == defaults);
}

TEST_CASE("config: the effective configuration tells defaults from what was written") {
  const auto rows = render(good("[store]\nsync = \"interval:1s\"\n" + subscription("")));
  REQUIRE(row(rows, "store.sync") != nullptr);
  CHECK(row(rows, "store.sync")->value == "\"interval:1s\"");
  CHECK(row(rows, "store.sync")->note == "file");
  CHECK(row(rows, "store.sync")->file == "sinkd.toml");
  CHECK(row(rows, "store.sync")->line == 2);
  CHECK(row(rows, "store.retain")->note == "default");
  CHECK(row(rows, "store.retain")->line == 0);
  CHECK(row(rows, "subscription[s].consumer")->line == 5);
  CHECK(row(rows, "subscription[s].retry")->value == "[\"1s\", \"5s\", \"30s\"]");
}

TEST_CASE("config: a reload says per key whether it is applied") {
  const Config before = good(kDocumented);
  CHECK(diff(before, before).empty());
  Config after = before;
  after.server.name = "other";
  after.server.unrouted = Unrouted::nack;
  after.store.max_size_bytes = 1ULL << 40;
  after.store.sync = SyncMode::never;
  after.limits.cache_bytes = 1 << 20;
  after.log.level = LogLevel::debug;
  after.listeners[0].certificate = "/new.pem";
  after.listeners[0].tls_min = TlsVersion::tls_1_3;
  after.subscriptions[0].in_flight = 1;
  const auto rows = diff(before, after);
  CHECK(rows.size() == 9);
  for (const char* key :
       {"server.unrouted", "store.max_size", "limits.cache", "log.level",
        "listener[0.0.0.0:2020].certificate", "subscription[readings].in_flight"}) {
    CAPTURE(key);
    REQUIRE(row(rows, key) != nullptr);
    CHECK(row(rows, key)->note == "applied");
  }
  for (const char* key : {"server.name", "store.sync", "listener[0.0.0.0:2020].tls_min"}) {
    CAPTURE(key);
    REQUIRE(row(rows, key) != nullptr);
    CHECK(row(rows, key)->note == "needs a restart");
  }
  CHECK(row(rows, "store.max_size")->value == "\"8GiB\" -> \"1TiB\"");
}

TEST_CASE("config: added and removed listeners and subscriptions are one row each") {
  const Config before = good(kDocumented);
  Config after = before;
  after.listeners[1].address = "127.0.0.1:3000";
  after.subscriptions[0].name = "renamed";
  const auto rows = diff(before, after);
  REQUIRE(rows.size() == 4);
  CHECK(row(rows, "listener[127.0.0.1:3000]")->value == "added");
  CHECK(row(rows, "listener[127.0.0.1:3000]")->note == "needs a restart");
  CHECK(row(rows, "listener[127.0.0.1:2021]")->value == "removed");
  CHECK(row(rows, "subscription[renamed]")->value == "added");
  CHECK(row(rows, "subscription[renamed]")->note == "applied");
  CHECK(row(rows, "subscription[readings]")->value == "removed");
}

TEST_CASE("units: text and number agree both ways") {
  for (const uint64_t value :
       {0ULL, 1ULL, 999ULL, 1'000ULL, 60'000ULL, 86'400'000ULL, 90'061'001ULL}) {
    CHECK(parse_duration(format_duration(value)) == value);
    CHECK(parse_size(format_size(value)) == value);
  }
  CHECK(format_duration(60'000) == "1m");
  CHECK(format_duration(90'000) == "90s");
  CHECK(parse_duration("2d") == 172'800'000u);
  CHECK(parse_duration("100ms") == 100u);
  CHECK(format_size(64u << 20) == "64MiB");
  CHECK(parse_size("512B") == 512u);
  for (const char* bad :
       {"", "s", "1", "1S", "1.5s", "1h30m", " 1s", "1s ", "+1s", "99999999999999999d"})
    CHECK_FALSE(parse_duration(bad).has_value());
}

TEST_CASE("address: forms and reach") {
  CHECK(parse_address("0.0.0.0:2020")->is_local == false);
  CHECK(parse_address("127.1.2.3:0")->is_local);
  CHECK(parse_address("[::1]:65535")->host == "::1");
  CHECK(parse_address("[fe80::1]:1")->is_local == false);
  CHECK(parse_address("unix:/run/x.sock")->path == "/run/x.sock");
  for (const std::string& bad :
       {std::string("2020"), std::string(":2020"), std::string("::1:2020"), std::string("1.2.3:1"),
        std::string("1.2.3.4:"), std::string("unix:x"), std::string("1.2.3.4:-1"),
        "unix:/" + std::string(108, 'x')})
    CHECK_FALSE(parse_address(bad).has_value());
}

TEST_CASE("nearest: suggests a slip of the fingers and nothing far off") {
  const std::vector<std::string_view> words = {"sync", "retain", "max_size", "segment_size"};
  CHECK(nearest("snyc", words) == "sync");
  CHECK(nearest("maxsize", words) == "max_size");
  CHECK(nearest("segmentsize", words) == "segment_size");
  CHECK(nearest("colour", words) == "");
  CHECK(nearest("", words) == "");
  CHECK(nearest(std::string(10'000, 'x'), words) == "");
}
