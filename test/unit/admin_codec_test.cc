// The admin wire: every field survives the trip, and hostile bytes are refused without harm.
#include "protocol/admin/admin_codec.h"

#include <doctest/doctest.h>

#include <random>
#include <type_traits>

namespace sink::admin {
namespace {

std::span<const uint8_t> payload_of(const Frame& frame) {
  return std::span<const uint8_t>(frame).subspan(kFrameHeaderBytes);
}

const std::string kRaw("\x00\xff\x01key\x00", 7);

Command full_command() {
  Command command;
  command.verb = Verb::event_release;
  command.client_id = "meter-1";
  command.subscription = "readings";
  command.consumer = "backend";
  command.position = 0;
  command.all = true;
  command.drop_backlog = true;
  command.dry_run = true;
  command.backlog = Backlog::drop;
  command.machine = kRaw;
  command.human = "geh\u00f6rt nicht hierher";
  command.duration_ms = UINT64_MAX;
  command.toml = "[[subscription]]\nname = \"x\"\n";
  command.after = "17/readings";
  command.limit = UINT32_MAX;
  command.uplink = "cloud";
  command.service = "a.b@1.0.0";
  return command;
}

Status full_status() {
  Status status;
  status.name = "gateway-7";
  status.version = "0.1.0";
  status.instance_id = 4'000'000'000;
  status.uptime_seconds = 2;
  status.ready = true;
  status.draining = true;
  status.connections = 3;
  status.connections_unauthenticated = 4;
  status.clients = 5;
  status.clients_quarantined = 6;
  status.clients_mismatch = 7;
  status.subscriptions = 8;
  status.backlog = 9;
  status.events = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
  status.store = {30, 31, 32, 33, 34, 35, 36, 37, true, true};
  status.alarms = {"one", "", "three"};
  status.services = 22;
  return status;
}

Reply full_reply() {
  Reply reply;
  reply.outcome = Outcome::internal;
  reply.message = "m";
  reply.hint = "h";
  reply.affected = UINT64_MAX;
  reply.next = "n";
  reply.status = full_status();
  reply.clients = {ClientRow{"c",
                             ClientState::mismatch,
                             0,
                             77,
                             "1.4.0",
                             "[::1]:5",
                             123,
                             kRaw,
                             "human",
                             456,
                             7,
                             8,
                             {{1, 2}, {UINT64_MAX, 3}},
                             -5'000},
                   ClientRow{}};
  reply.events = {EventRow{UINT64_MAX, "s", "c", "src", 1, 2, kRaw, 3, 4, 5, kRaw, "why", 6, true,
                           std::string("\x00\x01", 2)},
                  EventRow{.event_data = std::string()}, EventRow{}};
  reply.subscriptions = {SubscriptionRow{"n", "c", "meter-*", SubscriptionState::stalled, "r", 1, 2,
                                         3, 4, 5, 6, 7, 8, 9, 10, 1.5, "toml", 11}};
  reply.segments = {SegmentRow{1, "f", 2, 3, 4, 5, true}};
  reply.config = {ConfigRow{"k", "v", "default", "f", 1, 2}};
  reply.certificates = {CertificateRow{"l", "f", "server", "s", "i", "0a", 1, 2}};
  reply.uplinks = {UplinkRow{"n", UplinkState::stopped, "eu:1", 1, "e", 2, 3, 4, 5, 6, 7, 8,
                             {UplinkServer{"eu:1", 0, true, "wiped"}, UplinkServer{}}, 9,
                             {UplinkLink{3, UplinkState::connected, 1, 2, 3, 4, 5}, UplinkLink{}}},
                   UplinkRow{}};
  reply.dials = {DialRow{"c", "h:1", DialState::stopped, "e", 1, 2, 3}, DialRow{}};
  reply.services = {ServiceRow{"a.b@1.0.0", "uuid", "o", true, true, 1, 2, kRaw,
                               {ServiceChannel{"id", "p", true, 3, 4}, ServiceChannel{}}},
                    ServiceRow{.metadata = std::string()}, ServiceRow{}};
  return reply;
}

// Every member of the aggregate as a tuple of references, so that a field added to admin.h without
// its wire makes these lines stop compiling.
auto fields(const Command& c) {
  const auto& [a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = c;
  return std::tie(a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r);
}
auto fields(const EventCounts& c) {
  const auto& [a, b, d, e, f, g, h, i, j, k, l, m] = c;
  return std::tie(a, b, d, e, f, g, h, i, j, k, l, m);
}
auto fields(const StoreStatus& c) {
  const auto& [a, b, d, e, f, g, h, i, j, k] = c;
  return std::tie(a, b, d, e, f, g, h, i, j, k);
}
auto fields(const EventRow& c) {
  const auto& [a, b, d, e, f, g, h, i, j, k, l, m, n, o, p] = c;
  return std::tie(a, b, d, e, f, g, h, i, j, k, l, m, n, o, p);
}
auto fields(const SubscriptionRow& c) {
  const auto& [a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s] = c;
  return std::tie(a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s);
}
auto fields(const SegmentRow& c) {
  const auto& [a, b, d, e, f, g, h] = c;
  return std::tie(a, b, d, e, f, g, h);
}
auto fields(const ConfigRow& c) {
  const auto& [a, b, d, e, f, g] = c;
  return std::tie(a, b, d, e, f, g);
}
auto fields(const UplinkServer& c) {
  const auto& [a, b, d, e] = c;
  return std::tie(a, b, d, e);
}
auto fields(const UplinkLink& c) {
  const auto& [a, b, d, e, f, g, h] = c;
  return std::tie(a, b, d, e, f, g, h);
}
auto fields(const DialRow& c) {
  const auto& [a, b, d, e, f, g, h] = c;
  return std::tie(a, b, d, e, f, g, h);
}
auto fields(const ServiceChannel& c) {
  const auto& [a, b, d, e, f] = c;
  return std::tie(a, b, d, e, f);
}
auto fields(const CertificateRow& c) {
  const auto& [a, b, d, e, f, g, h, i] = c;
  return std::tie(a, b, d, e, f, g, h, i);
}

void check_equal(const Status& x, const Status& y) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, events, store, alarms, n] = x;
  const auto& [A, B, C, D, E, F, G, H, I, J, K, L, M, events2, store2, alarms2, N] = y;
  CHECK(std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, alarms, n) ==
        std::tie(A, B, C, D, E, F, G, H, I, J, K, L, M, alarms2, N));
  CHECK(fields(events) == fields(events2));
  CHECK(fields(store) == fields(store2));
}

void check_equal(const ClientRow& x, const ClientRow& y) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, freshness, m] = x;
  const auto& [A, B, C, D, E, F, G, H, I, J, K, L, freshness2, M] = y;
  CHECK(std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m) ==
        std::tie(A, B, C, D, E, F, G, H, I, J, K, L, M));
  REQUIRE(freshness.size() == freshness2.size());
  for (size_t n = 0; n < freshness.size(); ++n) {
    CHECK(freshness[n].event_type_id == freshness2[n].event_type_id);
    CHECK(freshness[n].timestamp == freshness2[n].timestamp);
  }
}

void check_equal(const UplinkRow& x, const UplinkRow& y) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, servers, m, links] = x;
  const auto& [A, B, C, D, E, F, G, H, I, J, K, L, servers2, M, links2] = y;
  CHECK(std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m) ==
        std::tie(A, B, C, D, E, F, G, H, I, J, K, L, M));
  REQUIRE(links.size() == links2.size());
  for (size_t n = 0; n < links.size(); ++n) CHECK(fields(links[n]) == fields(links2[n]));
  REQUIRE(servers.size() == servers2.size());
  for (size_t n = 0; n < servers.size(); ++n) CHECK(fields(servers[n]) == fields(servers2[n]));
}

void check_equal(const ServiceRow& x, const ServiceRow& y) {
  const auto& [a, b, c, d, e, f, g, h, channels] = x;
  const auto& [A, B, C, D, E, F, G, H, channels2] = y;
  CHECK(std::tie(a, b, c, d, e, f, g, h) == std::tie(A, B, C, D, E, F, G, H));
  REQUIRE(channels.size() == channels2.size());
  for (size_t n = 0; n < channels.size(); ++n) CHECK(fields(channels[n]) == fields(channels2[n]));
}

template <typename Row>
void check_equal(const std::vector<Row>& x, const std::vector<Row>& y) {
  REQUIRE(x.size() == y.size());
  for (size_t n = 0; n < x.size(); ++n) CHECK(fields(x[n]) == fields(y[n]));
}

void check_equal(const Reply& x, const Reply& y) {
  CHECK(std::tie(x.outcome, x.message, x.hint, x.affected, x.next) ==
        std::tie(y.outcome, y.message, y.hint, y.affected, y.next));
  REQUIRE(x.status.has_value() == y.status.has_value());
  if (x.status) check_equal(*x.status, *y.status);
  REQUIRE(x.clients.size() == y.clients.size());
  for (size_t n = 0; n < x.clients.size(); ++n) check_equal(x.clients[n], y.clients[n]);
  check_equal(x.events, y.events);
  check_equal(x.subscriptions, y.subscriptions);
  check_equal(x.segments, y.segments);
  check_equal(x.config, y.config);
  check_equal(x.certificates, y.certificates);
  REQUIRE(x.services.size() == y.services.size());
  for (size_t n = 0; n < x.services.size(); ++n) check_equal(x.services[n], y.services[n]);
  REQUIRE(x.uplinks.size() == y.uplinks.size());
  for (size_t n = 0; n < x.uplinks.size(); ++n) check_equal(x.uplinks[n], y.uplinks[n]);
  check_equal(x.dials, y.dials);
}

// Decodes from memory of exactly that size, so that a sanitizer sees a read past the end.
template <typename Decode>
void decode_copy(Decode decode, std::span<const uint8_t> bytes) {
  const std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  const auto result = decode(std::span<const uint8_t>(copy));
  if (!result) CHECK(!describe(result.error()).empty());
}

template <typename Decode>
void survive_hostile_bytes(Decode decode, std::span<const uint8_t> honest) {
  for (size_t size = 0; size < honest.size(); ++size) decode_copy(decode, honest.first(size));
  std::vector<uint8_t> bytes(honest.begin(), honest.end());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      bytes[at] ^= flip;
      decode_copy(decode, bytes);
      bytes[at] ^= flip;
    }
  }
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> noisy = bytes;
    for (int change = 0; change < 4; ++change) noisy[random() % noisy.size()] = random() & 0xff;
    decode_copy(decode, noisy);
  }
}

}  // namespace

TEST_CASE("admin codec: every field of a command survives") {
  const Command sent = full_command();
  const auto frame = encode(sent);
  REQUIRE(frame);
  CHECK(*payload_size(*frame, kCommandBytesMax) == payload_of(*frame).size());
  const auto received = decode_command(payload_of(*frame));
  REQUIRE(received);
  CHECK(fields(*received) == fields(sent));
}

TEST_CASE("admin codec: a command of defaults stays one, and is small") {
  const auto frame = encode(Command{});
  REQUIRE(frame);
  CHECK(frame->size() < 64);
  const auto received = decode_command(payload_of(*frame));
  REQUIRE(received);
  CHECK(fields(*received) == fields(Command{}));
  CHECK(!received->position);
}

TEST_CASE("admin codec: every field of a reply survives") {
  for (const Reply& sent : {full_reply(), Reply{}}) {
    const auto frame = encode(sent);
    REQUIRE(frame);
    const auto received = decode_reply(payload_of(*frame));
    REQUIRE(received);
    check_equal(*received, sent);
  }
}

TEST_CASE("admin codec: decodes from any alignment") {
  const auto frame = encode(full_reply());
  REQUIRE(frame);
  const auto payload = payload_of(*frame);
  for (size_t shift = 0; shift < 8; ++shift) {
    std::vector<uint8_t> moved(shift);
    moved.insert(moved.end(), payload.begin(), payload.end());
    const auto received = decode_reply(std::span<const uint8_t>(moved).subspan(shift));
    REQUIRE(received);
    check_equal(*received, full_reply());
  }
}

TEST_CASE("admin codec: the header says how much follows, or why not") {
  const std::vector<uint8_t> header = {0, 16, 0, 0};
  for (size_t size = 0; size < kFrameHeaderBytes; ++size) {
    const auto part = payload_size(std::span<const uint8_t>(header).first(size), kCommandBytesMax);
    REQUIRE(part);
    CHECK(!*part);
  }
  CHECK(payload_size(header, kCommandBytesMax).value() == kCommandBytesMax);
  CHECK(payload_size(header, kCommandBytesMax - 1).error() == CodecError::too_large);
  CHECK(payload_size(std::vector<uint8_t>(4), 9).error() == CodecError::malformed);
  CHECK(payload_size(std::vector<uint8_t>(4, 0xff), kReplyBytesMax).error() ==
        CodecError::too_large);
}

TEST_CASE("admin codec: what is too long is refused in both directions") {
  Command command;
  command.toml.assign(kCommandBytesMax, 'x');
  CHECK(encode(command).error() == CodecError::too_large);
  command.toml.resize(kCommandBytesMax + 1);
  CHECK(encode(command).error() == CodecError::too_large);
  Reply reply;
  reply.message.assign(kReplyBytesMax, 'x');
  CHECK(encode(reply).error() == CodecError::too_large);
  CHECK(decode_command(std::vector<uint8_t>(kCommandBytesMax + 1)).error() ==
        CodecError::too_large);
  CHECK(decode_reply(std::vector<uint8_t>(kReplyBytesMax + 1)).error() == CodecError::too_large);
}

TEST_CASE("admin codec: a command is not a reply, and the reverse") {
  CHECK(decode_reply(payload_of(*encode(full_command()))).error() == CodecError::malformed);
  CHECK(decode_command(payload_of(*encode(full_reply()))).error() == CodecError::malformed);
  CHECK(decode_command({}).error() == CodecError::malformed);
}

TEST_CASE("admin codec: verbs and values of a newer version are told apart from noise") {
  Command command;
  command.verb = static_cast<Verb>(999);
  CHECK(decode_command(payload_of(*encode(command))).error() == CodecError::unknown_verb);
  Reply reply;
  reply.outcome = static_cast<Outcome>(200);
  CHECK(decode_reply(payload_of(*encode(reply))).error() == CodecError::unknown_value);
  Reply row;
  row.clients.resize(1);
  row.clients[0].state = static_cast<ClientState>(9);
  CHECK(decode_reply(payload_of(*encode(row))).error() == CodecError::unknown_value);
}

TEST_CASE("admin codec: rows that all point at one long string do not multiply it") {
  Reply reply;
  reply.clients.resize(1'000);
  reply.clients[0].client_id.assign(100'000, 'x');
  auto frame = encode(reply);
  REQUIRE(frame);
  // The rows vector is a run of offsets, each relative to its own place: aim all at the first row.
  const size_t count_at = [&] {
    for (size_t at = kFrameHeaderBytes; at + 4 < frame->size(); at += 4) {
      if ((*frame)[at] == 0xe8 && (*frame)[at + 1] == 0x03 && (*frame)[at + 2] == 0) return at;
    }
    return size_t{0};
  }();
  REQUIRE(count_at != 0);
  const auto offset_at = [&](size_t index) { return count_at + 4 + 4 * index; };
  uint32_t first = 0;
  for (int n = 3; n >= 0; --n) first = first << 8 | (*frame)[offset_at(0) + n];
  for (size_t index = 1; index < 1'000; ++index) {
    const uint32_t offset = first - 4 * static_cast<uint32_t>(index);
    for (int n = 0; n < 4; ++n) {
      (*frame)[offset_at(index) + n] = static_cast<uint8_t>(offset >> (8 * n));
    }
  }
  const auto received = decode_reply(payload_of(*frame));
  REQUIRE(!received);
  CHECK(received.error() == CodecError::malformed);
}

TEST_CASE("admin codec: no hostile bytes do harm") {
  survive_hostile_bytes(decode_command, payload_of(*encode(full_command())));
  survive_hostile_bytes(decode_reply, payload_of(*encode(full_reply())));
}

}  // namespace sink::admin
