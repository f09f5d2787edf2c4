#include "protocol/control/control.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "protocol/control/wire.h"

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

TEST_CASE("control: every request survives") {
  Subscribe only_name;
  only_name.name = "x";
  for (const ControlRequest& request :
       {ControlRequest(everything()), ControlRequest(only_name), ControlRequest(Unsubscribe{"x"}),
        ControlRequest(Goodbye{GoodbyeReason::another_server, "nearer to you"}),
        ControlRequest(Goodbye{}), ControlRequest(UnknownRequest{})})
    CHECK(decode_control(encode_control(request)) == request);
}

TEST_CASE("control: every outcome survives") {
  CHECK(decode_outcome(encode_outcome({})) == ControlOutcome{});
  const ControlOutcome refused{ErrorCode::not_allowed, "ask for a client_policy"};
  CHECK(decode_outcome(encode_outcome(refused)) == refused);
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
