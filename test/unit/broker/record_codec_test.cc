#include "daemon/broker/record_codec.h"
#include "daemon/broker/channel_record.h"
#include "daemon/broker/service_record.h"

#include <doctest/doctest.h>

#include "protocol/bytes.h"

using namespace sink::broker;

namespace {

SubscriptionSpec full_spec() {
  SubscriptionSpec spec;
  spec.name = "readings";
  spec.consumer = "backend-*";
  spec.sources = {"meter-*", "gateway"};
  spec.event_types = {{1, 1}, {10, UINT64_MAX}};
  spec.keys = {"{consumer}/*"};
  spec.key_format = "{source}/{key}";
  spec.order = Order::none;
  spec.in_flight = 4'095;
  spec.ack_timeout_ms = 12'345;
  spec.max_deliveries = 0;
  spec.retry_ms = {};
  spec.after_quarantine = AfterQuarantine::hold_key;
  spec.expire_after_ms = UINT64_MAX;
  spec.held_max = 7;
  spec.quarantine_max = 8;
  spec.on_nack = {{false, std::string("\x00\x01", 2), NackAction::pause},
                  {true, "", NackAction::drop}};
  return spec;
}

// Encodes again what was decoded; decoders take nothing shorter, longer or out of range.
template <class Decode>
void check_codec(const std::string& bytes, Decode decode) {
  const auto good = decode(bytes);
  REQUIRE(good);
  CHECK(encode(*good) == bytes);
  for (size_t cut = 0; cut < bytes.size(); ++cut) CHECK_FALSE(decode(bytes.substr(0, cut)));
  CHECK_FALSE(decode(bytes + '\0'));
  for (size_t at = 0; at < bytes.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string altered = bytes;
      altered[at] = static_cast<char>(altered[at] ^ (1 << bit));
      if (const auto other = decode(altered)) CHECK(encode(*other).size() <= altered.size());
    }
}

}  // namespace

TEST_CASE("record codec: what a subscription has gained since is left out where it is the default") {
  SubscriptionRecord record{1, SubscriptionOrigin::file, false, false, "", {}};
  const std::string plain = encode(record);
  for (const AckWhen ack : {AckWhen::stored, AckWhen::settled})
    for (const uint32_t priority : {0u, 1u, kPriorityMax}) {
      record.spec.ack = ack;
      record.spec.priority = priority;
      const std::string bytes = encode(record);
      const bool is_default = ack == AckWhen::stored && priority == 0;
      CHECK((bytes == plain) == is_default);
      const auto again = decode_subscription(bytes);
      REQUIRE(again);
      CHECK(again->spec == record.spec);
      record.spec.newest_first = true;
      CHECK_FALSE(decode_subscription(encode(record)));  // with order = "key"
      record.spec.order = Order::none;
      const auto newest_first = decode_subscription(encode(record));
      REQUIRE(newest_first);
      CHECK(newest_first->spec == record.spec);
      record.spec.newest_first = false;
      record.spec.order = Order::key;
    }
  for (const std::string& tail : {std::string("\0", 1), std::string("\0\0", 2), std::string("\1\0", 2),
                                  std::string("\0\x0a", 2), std::string("\2"),
                                  std::string("\1\1\0", 3), std::string("\0\0\0", 3)})
    CHECK_FALSE(decode_subscription(plain + tail));
}

TEST_CASE("record codec: every record survives the round trip and no other bytes pass") {
  check_codec(encode(ClientRecord{7, "meter-7", 0xfedcba98, true}), decode_client);
  check_codec(encode(ClientRecord{UINT32_MAX, "", std::nullopt, false}), decode_client);
  const ClientQuarantine quarantine{"\x05", "too loud", 1, UINT64_MAX};
  check_codec(encode(ClientQuarantineRecord{3, quarantine}), decode_client_quarantine);
  check_codec(encode(ClientQuarantineRecord{3, std::nullopt}), decode_client_quarantine);
  check_codec(encode(SubscriptionRecord{9, SubscriptionOrigin::operator_added, true, true, "why",
                                        full_spec()}),
              decode_subscription);
  check_codec(encode(SubscriptionRecord{1, SubscriptionOrigin::file, false, false, "", {}}),
              decode_subscription);
  check_codec(encode(TrackerRecord{300, 2, "backend", true}), decode_tracker);
  check_codec(encode(SettlementRecord{5, Settled::dropped, {{1, 2}, {5, 900}, {901, 902}}}),
              decode_settlement);
  check_codec(encode(AttemptRecord{5, 1'000'000, UINT64_MAX, 4, "\x01", "no"}), decode_attempt);
  check_codec(encode(QuarantinedRecord{5, 77, {12, 3, true, 99, "\x02", "bad unit"}}),
              decode_quarantined);
  check_codec(encode(ReleasedRecord{5, UINT64_MAX}), decode_released);
  check_codec(encode(ProgressRecord{5, 6, std::string("k\0y", 3), 8}), decode_progress);
  check_codec(encode(UpstreamRecord{"cloud", "eu.example.com:2020", 7, true}), decode_upstream);
  check_codec(encode(UpstreamRecord{"cloud", "eu.example.com:2020", std::nullopt, false}),
              decode_upstream);
  constexpr sink::protocol::Uuid kUuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};
  check_codec(encode(ServiceRecord{kUuid, 7, "a.b@1.0.0", UINT32_MAX, true, std::string("\0x", 2)}),
              decode_service);
  check_codec(encode(ServiceEndedRecord{kUuid}), decode_service_ended);
  check_codec(encode(ChannelRecord{kUuid, kUuid, "a.b@1.0.0", 1, 2, 3, 4, 5, UINT64_MAX, true,
                                   sink::protocol::ChannelEndReason::peer_forgotten,
                                   std::string("\0m", 2)}),
              decode_channel);
  check_codec(encode(ChannelEndedRecord{kUuid}), decode_channel_ended);
  check_codec(encode(TrackerStateRecord{5, {1, 2, 3, 4, 5, 6, 7}, "runs"}), decode_tracker_state);
  const ClientStateRecord state{5, "1.2.3", "10.0.0.1:9", 42, {{1, 2}, {3, 4}}, "progress", {}};
  check_codec(encode(state), decode_client_state);
}

TEST_CASE("record codec: the order of a client's runs is there or not, and never empty") {
  ClientStateRecord state{5, "1.2.3", "10.0.0.1:9", 42, {{1, 2}, {3, 4}}, "progress", {}};
  const std::string without = encode(state);
  state.order = "order";
  const std::string bytes = encode(state);
  CHECK(decode_client_state(bytes).value().order == "order");
  CHECK(encode(*decode_client_state(bytes)) == bytes);
  for (size_t cut = without.size() + 1; cut < bytes.size(); ++cut)
    CHECK_FALSE(decode_client_state(bytes.substr(0, cut)));
  CHECK_FALSE(decode_client_state(bytes + '\0'));
  CHECK_FALSE(decode_client_state(without + '\0'));
}

TEST_CASE("record codec: what was decoded is what was written") {
  const auto subscription = decode_subscription(encode(
      SubscriptionRecord{9, SubscriptionOrigin::operator_added, true, true, "why", full_spec()}));
  REQUIRE(subscription);
  CHECK(subscription->spec == full_spec());
  CHECK(subscription->pause_reason == "why");
  const auto settlement =
      decode_settlement(encode(SettlementRecord{5, Settled::expired, {{1, 2}, {5, 900}}}));
  REQUIRE(settlement);
  CHECK(settlement->ranges == std::vector<std::pair<Position, Position>>{{1, 2}, {5, 900}});
  CHECK(settlement->how == Settled::expired);
}

TEST_CASE("record codec: an event record is a prefix and the payload as it will be delivered") {
  Tracker first, second;
  first.id = 1;
  second.id = 300;
  std::string record;
  append_event_prefix(record, 70'000, {&first, &second});
  const size_t prefix = record.size();
  record += "payload";
  const auto decoded = decode_event_record(record);
  REQUIRE(decoded);
  CHECK(decoded->source == 70'000);
  CHECK(decoded->payload == "payload");
  CHECK(decode_tracker_ids(decoded->tracker_bytes) == std::vector<TrackerId>{1, 300});
  for (size_t cut = 0; cut < prefix; ++cut) CHECK_FALSE(decode_event_record(record.substr(0, cut)));
}

TEST_CASE("record codec: a settlement's ranges ascend and never wrap round") {
  std::string bytes;
  for (const uint64_t number : {5ull, 0ull, 2ull}) sink::protocol::append_varint(bytes, number);
  std::string wrapping = bytes;
  for (const uint64_t number : {10ull, 0ull, ~0ull, 5ull})
    sink::protocol::append_varint(wrapping, number);
  CHECK_FALSE(decode_settlement(wrapping));
  std::string endless = bytes;
  for (const uint64_t number : {10ull, ~0ull, 0ull, 0ull})
    sink::protocol::append_varint(endless, number);
  CHECK_FALSE(decode_settlement(endless));
}

TEST_CASE("record codec: tracker ids end where one is cut short") {
  CHECK(decode_tracker_ids("\x05\x07\x80") == std::vector<TrackerId>{5, 7});
}
