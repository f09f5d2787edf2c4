#include "protocol/control/control.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "protocol/control/wire.h"
#include "protocol/frame.h"

using namespace sink::protocol;

static Subscribe everything() {
  Subscribe subscribe;
  subscribe.name = "my-alarms";
  subscribe.event_types = {{1, 9}, {20, UINT64_MAX}};
  subscribe.sources = {"sensor-*", "pump"};
  subscribe.keys = {"*"};
  subscribe.any_order = true;
  subscribe.in_flight = 4095;
  subscribe.ack_timeout_ms = 1'000;
  return subscribe;
}

static Seek seek_everything() {
  Seek seek;
  seek.from = SeekFrom::time;
  seek.position = 12;
  seek.time_ms = 1'700'000'000'000;
  seek.event_types = {{1, 9}, {20, UINT64_MAX}};
  seek.sources = {"sensor-*"};
  seek.keys = {"a", "b"};
  seek.bytes_max = 1'000;
  seek.wait_ms = 5'000;
  return seek;
}

static constexpr Uuid kUuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255};

static const ChannelInfo kChannel = {kUuid, "a.b@1.0.0", kUuid, "pump", "m", true, true, 9};

static ControlOutcome listing(ChannelPage page) {
  ControlOutcome outcome;
  outcome.channels = std::move(page);
  return outcome;
}

static ControlOutcome finding(FoundServices found) {
  ControlOutcome outcome;
  outcome.found = std::move(found);
  return outcome;
}

static std::string encoded_event(const std::string& key, uint64_t offset) {
  std::string bytes;
  append_event(bytes, {1, 0, key, offset, 0, "data"});
  return bytes;
}

TEST_CASE("control: every request survives") {
  Subscribe only_name;
  only_name.name = "x";
  for (const ControlRequest& request :
       {ControlRequest(everything()), ControlRequest(only_name), ControlRequest(Unsubscribe{"x"}),
        ControlRequest(Goodbye{GoodbyeReason::another_server, "nearer to you"}),
        ControlRequest(Goodbye{}), ControlRequest(UnknownRequest{}), ControlRequest(Seek{}),
        ControlRequest(seek_everything()), ControlRequest(Expose{"a.b@1.0.0", 0, "", false}),
        ControlRequest(Expose{"a.b@1.0.0", 5, std::string(60'000, '\0'), true}),
        ControlRequest(Refresh{kUuid}), ControlRequest(Withdraw{kUuid}),
        ControlRequest(Lookup{"a.b", {}}), ControlRequest(Lookup{{}, kUuid}),
        ControlRequest(OpenChannel{"a.b", {}, "m"}), ControlRequest(OpenChannel{{}, kUuid, {}}),
        ControlRequest(CloseChannel{kUuid}), ControlRequest(ListChannels{}),
        ControlRequest(ListChannels{kUuid}), ControlRequest(AdvanceChannel{kUuid, 7}),
        ControlRequest(ChannelOpened{kChannel}),
        ControlRequest(ChannelClosed{kUuid, ChannelEndReason::peer_forgotten}),
        ControlRequest(ServiceEnded{kUuid, "a.b@1.0.0", ServiceEndReason::by_operator})})
    CHECK(decode_control(encode_control(request)) == request);
}

TEST_CASE("control: every outcome survives") {
  CHECK(decode_outcome(encode_outcome({})) == ControlOutcome{});
  const ControlOutcome refused{ErrorCode::not_allowed, "ask for a client_policy"};
  CHECK(decode_outcome(encode_outcome(refused)) == refused);
  const ControlOutcome trimmed{ErrorCode::trimmed, "it begins later", 4'711};
  CHECK(decode_outcome(encode_outcome(trimmed)) == trimmed);
  LogPage page;
  page.position = 77;
  page.end = 80;
  page.missing = {{3, 5, MissingReason::damaged}, {9, 10, MissingReason::too_large}};
  const std::string first = encoded_event("k", 1), second = encoded_event("", 2);
  append_paged_event(page.events, {70, 1'700'000'000'000, "meter", first});
  append_paged_event(page.events, {77, 0, "", second});
  ControlOutcome outcome;
  outcome.page = page;
  const auto decoded = decode_outcome(encode_outcome(outcome));
  REQUIRE(decoded == outcome);
  const auto events = decode_paged_events(decoded->page->events);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK((*events)[0] == PagedEvent{70, 1'700'000'000'000, "meter", first});
  CHECK((*events)[1] == PagedEvent{77, 0, "", second});
  outcome.page = LogPage{};
  CHECK(decode_outcome(encode_outcome(outcome)) == outcome);
  ControlOutcome leased;
  leased.lease = Lease{kUuid, 30'000};
  CHECK(decode_outcome(encode_outcome(leased)) == leased);
  const FoundService most{"a.b@1.0.0", kUuid, "pump", std::string(kServiceMetadataMax, 'm'), true,
                          UINT32_MAX};
  const auto all = finding({std::vector<FoundService>(kServicesFoundMax, most), 7});
  CHECK(decode_outcome(encode_outcome(all)) == all);
  CHECK(decode_outcome(encode_outcome(finding({}))) == finding({}));
}

TEST_CASE("control: services are bounded: how many, their names, owners and metadata") {
  const FoundService one{"a.b@1.0.0", kUuid, "pump", {}, false, 0};
  const auto refused = [](const FoundServices& found) {
    return !decode_outcome(encode_outcome(finding(found)));
  };
  CHECK_FALSE(refused({{one}, 0}));
  CHECK(refused({std::vector<FoundService>(kServicesFoundMax + 1, one), 0}));
  FoundService broken = one;
  broken.metadata = std::string(kServiceMetadataMax + 1, 'm');
  CHECK(refused({{broken}, 0}));
  broken = one;
  broken.name = std::string(kServiceNameMax + 1, 'n');
  CHECK(refused({{broken}, 0}));
  broken = one;
  broken.owner.clear();
  CHECK(refused({{broken}, 0}));
  CHECK(!decode_control(encode_control(Expose{std::string(kServiceNameMax + 1, 'n'), 0, {}, {}})));
  CHECK(!decode_control(encode_control(Lookup{"", {}})));
}

TEST_CASE("control: channels are bounded: how many, their peers and metadata") {
  const auto refused = [](const ChannelPage& page) {
    return !decode_outcome(encode_outcome(listing(page)));
  };
  const auto all = listing({std::vector<ChannelInfo>(kChannelsListedMax, kChannel), true});
  CHECK(decode_outcome(encode_outcome(all)) == all);
  CHECK(decode_outcome(encode_outcome(listing({}))) == listing({}));
  CHECK(refused({std::vector<ChannelInfo>(kChannelsListedMax + 1, kChannel), false}));
  ChannelInfo broken = kChannel;
  broken.metadata = std::string(kChannelMetadataMax + 1, 'm');
  CHECK(refused({{broken}, false}));
  broken = kChannel;
  broken.peer = std::string(kControlNameMax + 1, 'p');
  CHECK(refused({{broken}, false}));
  broken.peer.clear();  // forgotten
  CHECK_FALSE(refused({{broken}, false}));
}

// What a peer sends that builds its tables by itself.
template <class Write>
static bool takes_request(wire::Request kind, Write write) {
  Builder builder;
  const auto request = write(builder).Union();
  return decode_control(finish(builder, wire::CreateControl(builder, kind, request))).has_value();
}

template <class Write>
static tl::expected<ControlOutcome, DecodeError> answer(wire::Result kind, Write write) {
  Builder builder;
  const auto result = write(builder).Union();
  return decode_outcome(finish(builder, wire::CreateControlReply(builder, kind, result)));
}

static flatbuffers::Offset<ByteVector> short_uuid(Builder& builder) {
  return vector_of(builder, Bytes("fifteen of them"));
}

TEST_CASE("control: a service or a channel is asked for by name or by a whole uuid, not by both") {
  using wire::Request;
  CHECK(takes_request(Request::Lookup, [](Builder& b) {
    return wire::CreateLookup(b, b.CreateString("a.b"));
  }));
  CHECK_FALSE(takes_request(Request::Lookup, [](Builder& b) { return wire::CreateLookup(b); }));
  CHECK_FALSE(takes_request(Request::Lookup, [](Builder& b) {
    const auto name = b.CreateString("a.b");
    return wire::CreateLookup(b, name, vector_of(b, kUuid));
  }));
  CHECK_FALSE(takes_request(Request::Lookup, [](Builder& b) {
    return wire::CreateLookup(b, 0, short_uuid(b));
  }));
  CHECK(takes_request(Request::OpenChannel, [](Builder& b) {
    return wire::CreateOpenChannel(b, 0, vector_of(b, kUuid));
  }));
  CHECK_FALSE(takes_request(Request::OpenChannel,
                            [](Builder& b) { return wire::CreateOpenChannel(b); }));
  CHECK_FALSE(takes_request(Request::OpenChannel, [](Builder& b) {
    const auto service = b.CreateString("a.b");
    return wire::CreateOpenChannel(b, service, vector_of(b, kUuid));
  }));
  CHECK_FALSE(takes_request(Request::OpenChannel, [](Builder& b) {
    return wire::CreateOpenChannel(b, 0, short_uuid(b));
  }));
}

TEST_CASE("control: a request without its id, or with a piece of one, is refused") {
  using wire::Request;
  CHECK_FALSE(takes_request(Request::Refresh, [](Builder& b) { return wire::CreateRefresh(b); }));
  CHECK_FALSE(takes_request(Request::Withdraw, [](Builder& b) { return wire::CreateWithdraw(b); }));
  CHECK_FALSE(takes_request(Request::CloseChannel,
                            [](Builder& b) { return wire::CreateCloseChannel(b); }));
  CHECK_FALSE(takes_request(Request::AdvanceChannel,
                            [](Builder& b) { return wire::CreateAdvanceChannel(b); }));
  CHECK_FALSE(takes_request(Request::ListChannels, [](Builder& b) {
    return wire::CreateListChannels(b, short_uuid(b));
  }));
  CHECK_FALSE(takes_request(Request::ChannelClosed,
                            [](Builder& b) { return wire::CreateChannelClosed(b); }));
  CHECK_FALSE(takes_request(Request::ServiceEnded, [](Builder& b) {
    return wire::CreateServiceEnded(b, 0, b.CreateString("a.b@1.0.0"));
  }));
  CHECK_FALSE(takes_request(Request::ServiceEnded, [](Builder& b) {
    return wire::CreateServiceEnded(b, vector_of(b, kUuid));
  }));
}

TEST_CASE("control: a channel that is told has an id, a service and its uuid; the rest may lack") {
  const auto takes = [](bool id, bool service, bool service_uuid) {
    return takes_request(wire::Request::ChannelOpened, [&](Builder& b) {
      const auto name = b.CreateString("a.b@1.0.0");
      const auto whole = vector_of(b, kUuid);
      wire::ChannelBuilder channel(b);
      if (id) channel.add_id(whole);
      if (service) channel.add_service(name);
      if (service_uuid) channel.add_service_uuid(whole);
      const auto told = channel.Finish();
      return wire::CreateChannelOpened(b, told);
    });
  };
  CHECK(takes(true, true, true));
  CHECK_FALSE(takes(false, true, true));
  CHECK_FALSE(takes(true, false, true));
  CHECK_FALSE(takes(true, true, false));
  CHECK_FALSE(takes_request(wire::Request::ChannelOpened,
                            [](Builder& b) { return wire::CreateChannelOpened(b); }));
}

TEST_CASE("control: an answer without rows has none, and a row without its id is refused") {
  using wire::Result;
  const auto no_services =
      answer(Result::Services, [](Builder& b) { return wire::CreateServices(b, 0, 3); });
  CHECK(no_services == finding({{}, 3}));
  const auto no_channels =
      answer(Result::Channels, [](Builder& b) { return wire::CreateChannels(b, 0, true); });
  CHECK(no_channels == listing({{}, true}));
  CHECK_FALSE(answer(Result::Lease, [](Builder& b) { return wire::CreateLease(b, 0, 1'000); }));
  const auto service = [](bool uuid) {
    return answer(Result::Services, [&](Builder& b) {
      const auto name = b.CreateString("a.b@1.0.0"), owner = b.CreateString("pump");
      const auto id = uuid ? vector_of(b, kUuid) : short_uuid(b);
      const auto row = wire::CreateService(b, name, id, owner);
      return wire::CreateServices(b, b.CreateVector(&row, 1));
    });
  };
  CHECK(service(true) == finding({{{"a.b@1.0.0", kUuid, "pump", {}, false, 0}}, 0}));
  CHECK_FALSE(service(false));
}

TEST_CASE("control: the key of a channel's messages is its id, and nothing else is") {
  const std::string key = channel_key(kUuid);
  CHECK(key == "000102030405060708090a0b0c0d0eff");
  CHECK(parse_channel_key(key) == kUuid);
  CHECK_FALSE(parse_channel_key(to_text(kUuid)));
  CHECK_FALSE(parse_channel_key("000102030405060708090A0B0C0D0EFF"));
  CHECK_FALSE(parse_channel_key(""));
}

TEST_CASE("control: every reason of a channel's end has words of its own") {
  std::set<std::string> words;
  for (int reason = 0; reason <= 3; ++reason)
    words.insert(to_string(static_cast<ChannelEndReason>(reason)));
  CHECK(words.size() == 4);
}

TEST_CASE("control: every reason of a service's end has words of its own") {
  std::set<std::string> words;
  for (int reason = 0; reason <= 3; ++reason)
    words.insert(to_string(static_cast<ServiceEndReason>(reason)));
  CHECK(words.size() == 4);
}

TEST_CASE("control: a page whose entries do not decode, or go back, is no page") {
  const std::string event = encoded_event("k", 1);
  LogPage page;
  append_paged_event(page.events, {7, 1, "meter", event});
  const auto refused = [](LogPage broken) {
    ControlOutcome outcome;
    outcome.page = std::move(broken);
    return !decode_outcome(encode_outcome(outcome));
  };
  CHECK_FALSE(refused(page));
  for (size_t cut = 1; cut < page.events.size(); ++cut) {
    LogPage broken = page;
    broken.events.resize(cut);
    CHECK(refused(broken));
  }
  LogPage endless = page;
  endless.events += '\x80';  // a position that has no end
  CHECK(refused(endless));
  LogPage back = page;
  append_paged_event(back.events, {7, 1, "meter", event});
  CHECK(refused(back));
  LogPage crowded = page;
  crowded.missing.assign(kPageMissingMax + 1, {});
  CHECK(refused(crowded));
}

TEST_CASE("control: a kind of a later version is told apart from a broken table") {
  Builder builder;
  const auto later = wire::CreateDone(builder).Union();
  const std::string body =
      finish(builder, wire::CreateControl(builder, static_cast<wire::Request>(77), later));
  CHECK(decode_control(body) == ControlRequest(UnknownRequest{}));
  CHECK(decode_control("nonsense, not a table").error() == DecodeError::bad_table);
  CHECK(decode_outcome("nonsense, not a table").error() == DecodeError::bad_table);
}

TEST_CASE("control: names and lists are bounded") {
  Subscribe subscribe = everything();
  subscribe.name = std::string(kControlNameMax, 'n');
  subscribe.sources.assign(kControlListMax, "s");
  CHECK(decode_control(encode_control(subscribe)) == ControlRequest(subscribe));
  subscribe.name += 'n';
  CHECK(!decode_control(encode_control(subscribe)));
  subscribe = everything();
  subscribe.sources.assign(kControlListMax + 1, "s");
  CHECK(!decode_control(encode_control(subscribe)));
  subscribe = everything();
  subscribe.keys = {std::string(kControlNameMax + 1, 'k')};
  CHECK(!decode_control(encode_control(subscribe)));
  subscribe = everything();
  subscribe.event_types.assign(kControlListMax + 1, {});
  CHECK(!decode_control(encode_control(subscribe)));
  subscribe = everything();
  subscribe.name.clear();
  CHECK(!decode_control(encode_control(subscribe)));
  CHECK(!decode_control(encode_control(Unsubscribe{""})));
  Seek seek = seek_everything();
  seek.sources.assign(kControlListMax + 1, "s");
  CHECK(!decode_control(encode_control(seek)));
  seek = seek_everything();
  seek.keys = {""};
  CHECK(!decode_control(encode_control(seek)));
  seek = seek_everything();
  seek.event_types.assign(kControlListMax + 1, {});
  CHECK(!decode_control(encode_control(seek)));
}

// Forty thousand entries that all point at one long text would be gigabytes.
TEST_CASE("control: many entries that share one long text are refused before they are copied") {
  Builder builder;
  const auto name = builder.CreateString("x");
  const auto shared = builder.CreateString(std::string(40'000, 'k'));
  const std::vector<flatbuffers::Offset<flatbuffers::String>> keys(5'000, shared);
  const auto vector = builder.CreateVector(keys);
  wire::SubscribeBuilder subscribe(builder);
  subscribe.add_name(name);
  subscribe.add_keys(vector);
  const std::string body = finish(
      builder, wire::CreateControl(builder, wire::Request::Subscribe, subscribe.Finish().Union()));
  CHECK(decode_control(body).error() == DecodeError::bad_table);
}

TEST_CASE("control: every reason of a goodbye has words of its own") {
  std::set<std::string> words;
  for (int reason = 0; reason <= kGoodbyeReasons; ++reason)
    words.insert(to_string(static_cast<GoodbyeReason>(reason)));
  CHECK(words.size() == kGoodbyeReasons + 1);
}
