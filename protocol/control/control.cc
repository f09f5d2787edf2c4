#include "protocol/control/control.h"

#include "protocol/control/channels_wire.h"
#include "protocol/control/services_wire.h"
#include "protocol/control/wire.h"

namespace sink::protocol {
namespace {

using Patterns = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;
using Ranges = flatbuffers::Vector<const wire::EventTypeRange*>;

tl::unexpected<DecodeError> bad_table() { return tl::unexpected(DecodeError::bad_table); }

// Many entries may point at one long text: both their number and their length are bounded.
bool read_patterns(const Patterns* patterns, std::vector<std::string>& out) {
  if (patterns == nullptr) return true;
  if (patterns->size() > kControlListMax) return false;
  for (const auto* pattern : *patterns)
    if (!read_name(pattern, kControlNameMax, out.emplace_back())) return false;
  return true;
}

// The number at `index` of what `structs` holds. Not through its type: a forger's may stand at any
// address, and the verifier lets that pass.
template <class Structs>
uint64_t number_in(const Structs& structs, size_t index) {
  uint64_t number;
  std::memcpy(&number, structs.Data() + index * sizeof number, sizeof number);
  return flatbuffers::EndianScalar(number);
}

bool read_types(const Ranges* ranges, std::vector<EventTypes>& out) {
  if (ranges == nullptr) return true;
  if (ranges->size() > kControlListMax) return false;
  for (size_t i = 0; i < ranges->size(); ++i)
    out.push_back({number_in(*ranges, 2 * i), number_in(*ranges, 2 * i + 1)});
  return true;
}

// Which events a Subscribe or a Seek asks for.
template <class Table, class Request>
bool read_filter(const Table& table, Request& out) {
  return read_patterns(table.sources(), out.sources) && read_patterns(table.keys(), out.keys) &&
         read_types(table.event_types(), out.event_types);
}

tl::expected<ControlRequest, DecodeError> decode(const wire::Subscribe& table) {
  Subscribe subscribe;
  if (!read_name(table.name(), kControlNameMax, subscribe.name) || !read_filter(table, subscribe))
    return bad_table();
  subscribe.any_order = table.any_order();
  subscribe.in_flight = table.in_flight();
  subscribe.ack_timeout_ms = table.ack_timeout_ms();
  return subscribe;
}

tl::expected<ControlRequest, DecodeError> decode(const wire::Unsubscribe& table) {
  Unsubscribe unsubscribe;
  if (!read_name(table.name(), kControlNameMax, unsubscribe.name)) return bad_table();
  return unsubscribe;
}

tl::expected<ControlRequest, DecodeError> decode(const wire::Seek& table) {
  Seek seek;
  if (!read_filter(table, seek)) return bad_table();
  seek.from = static_cast<SeekFrom>(table.from());
  seek.position = table.position();
  seek.time_ms = table.time_ms();
  seek.bytes_max = table.bytes_max();
  seek.wait_ms = table.wait_ms();
  return seek;
}

tl::expected<ControlOutcome, DecodeError> decode(const wire::Page& table) {
  LogPage page;
  page.events = bytes_of(table.events());
  page.position = table.position();
  page.end = table.end();
  if (!decode_paged_events(page.events)) return bad_table();
  if (const auto* missing = table.missing()) {
    if (missing->size() > kPageMissingMax) return bad_table();
    for (size_t i = 0; i < missing->size(); ++i)
      page.missing.push_back(
          {number_in(*missing, 3 * i), number_in(*missing, 3 * i + 1),
           static_cast<MissingReason>(number_in(*missing, 3 * i + 2) & 0xff)});
  }
  return ControlOutcome{ErrorCode::none, "", 0, std::move(page)};
}

// Of a request of services.h or channels.h.
template <class Table>
tl::expected<ControlRequest, DecodeError> decode_read(const Table& table) {
  const auto request = read(table);
  if (!request) return bad_table();
  return *request;
}

// What was read of a result, in its place; nullopt: it is malformed.
template <class Result>
tl::expected<ControlOutcome, DecodeError> with(std::optional<Result> ControlOutcome::* field,
                                               std::optional<Result> result) {
  if (!result) return bad_table();
  ControlOutcome outcome;
  outcome.*field = std::move(result);
  return outcome;
}

struct Encoder {
  Builder builder;

  std::string control(wire::Request kind, flatbuffers::Offset<void> request) {
    return finish(builder, wire::CreateControl(builder, kind, request));
  }
  flatbuffers::Offset<Patterns> patterns(const std::vector<std::string>& patterns) {
    return builder.CreateVectorOfStrings(patterns);
  }
  flatbuffers::Offset<Ranges> ranges(const std::vector<EventTypes>& all) {
    std::vector<wire::EventTypeRange> ranges;
    for (const EventTypes& types : all) ranges.emplace_back(types.first, types.last);
    return builder.CreateVectorOfStructs(ranges);
  }

  std::string operator()(const Subscribe& subscribe) {
    const auto name = builder.CreateString(subscribe.name);
    const auto event_types = ranges(subscribe.event_types);
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
  std::string operator()(const Seek& seek) {
    const auto event_types = ranges(seek.event_types);
    const auto sources = patterns(seek.sources);
    const auto keys = patterns(seek.keys);
    return control(wire::Request::Seek,
                   wire::CreateSeek(builder, static_cast<wire::SeekFrom>(seek.from), seek.position,
                                    seek.time_ms, event_types, sources, keys, seek.bytes_max,
                                    seek.wait_ms)
                       .Union());
  }
  std::string operator()(const Expose& expose) {
    return control(wire::Request::Expose, write(builder, expose).Union());
  }
  std::string operator()(const Refresh& refresh) {
    return control(wire::Request::Refresh, write(builder, refresh).Union());
  }
  std::string operator()(const Withdraw& withdraw) {
    return control(wire::Request::Withdraw, write(builder, withdraw).Union());
  }
  std::string operator()(const Lookup& lookup) {
    return control(wire::Request::Lookup, write(builder, lookup).Union());
  }
  std::string operator()(const ServiceEnded& ended) {
    return control(wire::Request::ServiceEnded, write(builder, ended).Union());
  }
  std::string operator()(const OpenChannel& open) {
    return control(wire::Request::OpenChannel, write(builder, open).Union());
  }
  std::string operator()(const CloseChannel& close) {
    return control(wire::Request::CloseChannel, write(builder, close).Union());
  }
  std::string operator()(const ListChannels& list) {
    return control(wire::Request::ListChannels, write(builder, list).Union());
  }
  std::string operator()(const ChannelOpened& opened) {
    return control(wire::Request::ChannelOpened, write(builder, opened).Union());
  }
  std::string operator()(const ChannelClosed& closed) {
    return control(wire::Request::ChannelClosed, write(builder, closed).Union());
  }
  std::string operator()(const AdvanceChannel& advance) {
    return control(wire::Request::AdvanceChannel, write(builder, advance).Union());
  }
  std::string operator()(const UnknownRequest&) { return control(wire::Request::NONE, 0); }
};

flatbuffers::Offset<wire::Page> create_page(Builder& builder, const LogPage& page) {
  std::vector<wire::Missing> missing;
  for (const MissingEvents& one : page.missing)
    missing.emplace_back(one.first, one.end, static_cast<wire::MissingReason>(one.reason));
  const auto events = vector_of(builder, page.events);
  return wire::CreatePage(builder, events, builder.CreateVectorOfStructs(missing), page.position,
                          page.end);
}

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
  const auto reply = [&](wire::Result kind, flatbuffers::Offset<void> result) {
    return finish(builder, wire::CreateControlReply(builder, kind, result));
  };
  if (outcome.page) return reply(wire::Result::Page, create_page(builder, *outcome.page).Union());
  if (outcome.lease) return reply(wire::Result::Lease, write(builder, *outcome.lease).Union());
  if (outcome.found) return reply(wire::Result::Services, write(builder, *outcome.found).Union());
  if (outcome.channels)
    return reply(wire::Result::Channels, write(builder, *outcome.channels).Union());
  if (outcome.code == ErrorCode::none)
    return reply(wire::Result::Done, wire::CreateDone(builder).Union());
  const auto text = builder.CreateString(outcome.text);
  const auto failure = wire::CreateFailure(builder, static_cast<wire::ErrorCode>(outcome.code),
                                           text, outcome.earliest);
  return reply(wire::Result::Failure, failure.Union());
}

tl::expected<ControlRequest, DecodeError> decode_control(Bytes body) {
  const Verified<wire::Control> verified(body);
  const auto* control = verified.root();
  if (control == nullptr) return bad_table();
  if (control->request() == nullptr) return UnknownRequest{};
  switch (control->request_type()) {
    case wire::Request::Subscribe: return decode(*control->request_as_Subscribe());
    case wire::Request::Unsubscribe: return decode(*control->request_as_Unsubscribe());
    case wire::Request::Seek: return decode(*control->request_as_Seek());
    case wire::Request::Goodbye: {
      const auto* goodbye = control->request_as_Goodbye();
      return Goodbye{static_cast<GoodbyeReason>(goodbye->reason()), bytes_of(goodbye->human())};
    }
    case wire::Request::Expose: return decode_read(*control->request_as_Expose());
    case wire::Request::Refresh: return decode_read(*control->request_as_Refresh());
    case wire::Request::Withdraw: return decode_read(*control->request_as_Withdraw());
    case wire::Request::Lookup: return decode_read(*control->request_as_Lookup());
    case wire::Request::ServiceEnded: return decode_read(*control->request_as_ServiceEnded());
    case wire::Request::OpenChannel: return decode_read(*control->request_as_OpenChannel());
    case wire::Request::CloseChannel: return decode_read(*control->request_as_CloseChannel());
    case wire::Request::ListChannels: return decode_read(*control->request_as_ListChannels());
    case wire::Request::ChannelOpened: return decode_read(*control->request_as_ChannelOpened());
    case wire::Request::ChannelClosed: return decode_read(*control->request_as_ChannelClosed());
    case wire::Request::AdvanceChannel:
      return decode_read(*control->request_as_AdvanceChannel());
    case wire::Request::NONE: break;
  }
  return UnknownRequest{};
}

tl::expected<ControlOutcome, DecodeError> decode_outcome(Bytes body) {
  const Verified<wire::ControlReply> verified(body);
  const auto* reply = verified.root();
  if (reply == nullptr) return bad_table();
  if (reply->result_as_Done() != nullptr) return ControlOutcome{};
  if (const auto* page = reply->result_as_Page()) return decode(*page);
  if (const auto* table = reply->result_as_Lease())
    return with(&ControlOutcome::lease, read(*table));
  if (const auto* table = reply->result_as_Services())
    return with(&ControlOutcome::found, read(*table));
  if (const auto* table = reply->result_as_Channels())
    return with(&ControlOutcome::channels, read(*table));
  const auto* failure = reply->result_as_Failure();
  if (failure == nullptr || failure->code() == wire::ErrorCode::none) return bad_table();
  return ControlOutcome{static_cast<ErrorCode>(failure->code()), text_of(failure->text()),
                        failure->earliest()};
}

}  // namespace sink::protocol
