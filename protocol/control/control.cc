#include "protocol/control/control.h"

#include "protocol/control/wire.h"

namespace sink::protocol {
namespace {

using Patterns = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;

tl::unexpected<DecodeError> bad_table() { return tl::unexpected(DecodeError::bad_table); }

bool read_name(const flatbuffers::String* text, std::string& out) {
  if (text == nullptr || text->size() == 0 || text->size() > kControlNameMax) return false;
  out = text->str();
  return true;
}

// Many entries may point at one long text: both their number and their length are bounded.
bool read_patterns(const Patterns* patterns, std::vector<std::string>& out) {
  if (patterns == nullptr) return true;
  if (patterns->size() > kControlListMax) return false;
  for (const auto* pattern : *patterns)
    if (!read_name(pattern, out.emplace_back())) return false;
  return true;
}

tl::expected<ControlRequest, DecodeError> decode(const wire::Subscribe& table) {
  Subscribe subscribe;
  if (!read_name(table.name(), subscribe.name) ||
      !read_patterns(table.sources(), subscribe.sources) ||
      !read_patterns(table.keys(), subscribe.keys))
    return bad_table();
  if (const auto* types = table.event_types()) {
    if (types->size() > kControlListMax) return bad_table();
    for (flatbuffers::uoffset_t i = 0; i < types->size(); ++i) {
      uint64_t range[2];  // a forger's may stand at any address: the verifier lets that pass
      std::memcpy(range, types->Data() + i * sizeof range, sizeof range);
      subscribe.event_types.push_back(
          {flatbuffers::EndianScalar(range[0]), flatbuffers::EndianScalar(range[1])});
    }
  }
  subscribe.any_order = table.any_order();
  subscribe.in_flight = table.in_flight();
  subscribe.ack_timeout_ms = table.ack_timeout_ms();
  return subscribe;
}

tl::expected<ControlRequest, DecodeError> decode(const wire::Unsubscribe& table) {
  Unsubscribe unsubscribe;
  if (!read_name(table.name(), unsubscribe.name)) return bad_table();
  return unsubscribe;
}

struct Encoder {
  Builder builder;

  std::string control(wire::Request kind, flatbuffers::Offset<void> request) {
    return finish(builder, wire::CreateControl(builder, kind, request));
  }
  flatbuffers::Offset<Patterns> patterns(const std::vector<std::string>& patterns) {
    return builder.CreateVectorOfStrings(patterns);
  }

  std::string operator()(const Subscribe& subscribe) {
    const auto name = builder.CreateString(subscribe.name);
    std::vector<wire::EventTypeRange> ranges;
    for (const EventTypes& types : subscribe.event_types)
      ranges.emplace_back(types.first, types.last);
    const auto event_types = builder.CreateVectorOfStructs(ranges);
    const auto sources = patterns(subscribe.sources);
    const auto keys = patterns(subscribe.keys);
    return control(wire::Request::Subscribe,
                   wire::CreateSubscribe(builder, name, event_types, sources, keys,
                                         subscribe.any_order, subscribe.in_flight,
                                         subscribe.ack_timeout_ms)
                       .Union());
  }
  std::string operator()(const Unsubscribe& unsubscribe) {
    const auto name = builder.CreateString(unsubscribe.name);
    return control(wire::Request::Unsubscribe, wire::CreateUnsubscribe(builder, name).Union());
  }
  std::string operator()(const Goodbye& goodbye) {
    const auto human = vector_of(builder, goodbye.human);
    const auto reason = static_cast<wire::GoodbyeReason>(goodbye.reason);
    return control(wire::Request::Goodbye, wire::CreateGoodbye(builder, reason, human).Union());
  }
  std::string operator()(const UnknownRequest&) { return control(wire::Request::NONE, 0); }
};

}  // namespace

const char* to_string(GoodbyeReason reason) {
  switch (reason) {
    case GoodbyeReason::none: return "none";
    case GoodbyeReason::shutdown: return "shutdown";
    case GoodbyeReason::restart: return "restart";
    case GoodbyeReason::user_request: return "user request";
    case GoodbyeReason::another_server: return "another server";
    case GoodbyeReason::taken_over: return "taken over";
    case GoodbyeReason::quarantined: return "quarantined";
    case GoodbyeReason::silent: return "silent";
  }
  return "a reason unknown to this version";
}

std::string encode_control(const ControlRequest& request) {
  Encoder encoder;
  return std::visit(encoder, request);
}

std::string encode_outcome(const ControlOutcome& outcome) {
  Builder builder;
  if (outcome.code == ErrorCode::none)
    return finish(builder, wire::CreateControlReply(builder, wire::Result::Done,
                                                    wire::CreateDone(builder).Union()));
  const auto text = builder.CreateString(outcome.text);
  const auto failure =
      wire::CreateFailure(builder, static_cast<wire::ErrorCode>(outcome.code), text);
  return finish(builder,
                wire::CreateControlReply(builder, wire::Result::Failure, failure.Union()));
}

tl::expected<ControlRequest, DecodeError> decode_control(Bytes body) {
  const Verified<wire::Control> verified(body);
  const auto* control = verified.root();
  if (control == nullptr) return bad_table();
  if (control->request() == nullptr) return UnknownRequest{};
  switch (control->request_type()) {
    case wire::Request::Subscribe: return decode(*control->request_as_Subscribe());
    case wire::Request::Unsubscribe: return decode(*control->request_as_Unsubscribe());
    case wire::Request::Goodbye: {
      const auto* goodbye = control->request_as_Goodbye();
      return Goodbye{static_cast<GoodbyeReason>(goodbye->reason()), bytes_of(goodbye->human())};
    }
    case wire::Request::NONE: break;
  }
  return UnknownRequest{};
}

tl::expected<ControlOutcome, DecodeError> decode_outcome(Bytes body) {
  const Verified<wire::ControlReply> verified(body);
  const auto* reply = verified.root();
  if (reply == nullptr) return bad_table();
  if (reply->result_as_Done() != nullptr) return ControlOutcome{};
  const auto* failure = reply->result_as_Failure();
  if (failure == nullptr || failure->code() == wire::ErrorCode::none) return bad_table();
  return ControlOutcome{static_cast<ErrorCode>(failure->code()), text_of(failure->text())};
}

}  // namespace sink::protocol
