#include "client/sink_c_requests.h"

#include <algorithm>

#include "client/sink_c_channels.h"
#include "client/sink_c_lend.h"

namespace sink::client::abi {
namespace {

// The numbers of the ABI are those of the C++ enums.
using protocol::ErrorCode;
static_assert(SINK_REPLY_DONE == int(ErrorCode::none));
static_assert(SINK_REPLY_UNKNOWN_KIND == int(ErrorCode::unknown_kind));
static_assert(SINK_REPLY_NOT_ALLOWED == int(ErrorCode::not_allowed));
static_assert(SINK_REPLY_INVALID == int(ErrorCode::invalid));
static_assert(SINK_REPLY_NOT_FOUND == int(ErrorCode::not_found));
static_assert(SINK_REPLY_EXISTS == int(ErrorCode::exists));
static_assert(SINK_REPLY_TOO_MANY == int(ErrorCode::too_many));
static_assert(SINK_REPLY_TRIMMED == int(ErrorCode::trimmed));
static_assert(SINK_REPLY_UNAVAILABLE == int(ErrorCode::unavailable));
static_assert(SINK_FROM_POSITION == int(protocol::SeekFrom::position));
static_assert(SINK_FROM_EARLIEST == int(protocol::SeekFrom::earliest));
static_assert(SINK_FROM_TIME == int(protocol::SeekFrom::time));
static_assert(SINK_FROM_END == int(protocol::SeekFrom::end));
static_assert(SINK_MISSING_DAMAGED == int(protocol::MissingReason::damaged));
static_assert(SINK_SERVICE_EXPOSED == int(ServiceChange::exposed));
static_assert(SINK_SERVICE_LAPSED == int(ServiceChange::lapsed));
static_assert(SINK_SERVICE_REFUSED == int(ServiceChange::refused));
static_assert(SINK_SERVICE_WITHDRAWN == int(ServiceChange::withdrawn));
static_assert(SINK_MISSING_TOO_LARGE == int(protocol::MissingReason::too_large));

std::vector<std::string> texts(const char* const* from, size_t count) {
  std::vector<std::string> all;
  for (size_t i = 0; i < count; ++i) all.emplace_back(or_empty(from[i]));
  return all;
}

template <class Request>
void select(Request& to, const sink_selection& from) {
  for (size_t i = 0; i < from.event_types_count; ++i)
    to.event_types.push_back({from.event_types[i].first, from.event_types[i].last});
  to.sources = texts(from.sources, from.sources_count);
  to.keys = texts(from.keys, from.keys_count);
}

}  // namespace

protocol::Subscribe to_request(const sink_subscription& subscription) {
  protocol::Subscribe request;
  request.name = or_empty(subscription.name);
  select(request, subscription.selection);
  request.any_order = subscription.any_order != 0;
  // What does not fit becomes what is out of range, and is refused by the server.
  request.in_flight = static_cast<uint16_t>(std::min<uint32_t>(subscription.in_flight, UINT16_MAX));
  request.ack_timeout_ms = subscription.ack_timeout_ms;
  return request;
}

protocol::Seek to_request(const sink_place& place) {
  protocol::Seek request;
  request.from = static_cast<protocol::SeekFrom>(place.from);
  request.position = place.position;
  request.time_ms = place.time_ms;
  select(request, place.selection);
  request.bytes_max = place.bytes_max;
  request.wait_ms = place.wait_ms;
  return request;
}

protocol::Expose to_request(const sink_service& service) {
  return {or_empty(service.name), service.ttl_ms, std::string(borrow(service.metadata)),
          service.is_public != 0};
}

protocol::Uuid uuid_of(const sink_uuid& uuid) {
  protocol::Uuid out{};
  std::copy(std::begin(uuid.bytes), std::end(uuid.bytes), out.begin());
  return out;
}

sink_uuid to_c(const protocol::Uuid& uuid) {
  sink_uuid out{};
  std::copy(uuid.begin(), uuid.end(), out.bytes);
  return out;
}

ReplyLoan::ReplyLoan(const Reply& reply) {
  reply_.tag = reply.tag;
  reply_.code = SINK_REPLY_NONE;
  if (reply.outcome == nullptr) return;
  reply_.code = static_cast<sink_reply_code>(reply.outcome->code);
  reply_.text = lend(reply.outcome->text);
  reply_.earliest = reply.outcome->earliest;
  if (reply.outcome->page) lend_page(*reply.outcome->page);
  if (reply.outcome->found) lend_found(*reply.outcome->found);
  if (const auto& opened = reply.outcome->channels; opened && !opened->channels.empty()) {
    channel_ = lend(opened->channels.front());
    reply_.channel = &channel_;
  }
}

void ReplyLoan::lend_page(const protocol::LogPage& page) {
  const auto events = protocol::decode_paged_events(page.events).value();  // decoded once already
  for (const protocol::PagedEvent& event : events)
    events_.push_back({event.position, event.accepted_ms, lend(event.source),
                       lend_decoded(event.payload)});
  for (const protocol::MissingEvents& gap : page.missing)
    missing_.push_back({gap.first, gap.end, static_cast<sink_missing_reason>(gap.reason)});
  page_ = {events_.data(), events_.size(), missing_.data(), missing_.size(), page.position,
           page.end};
  reply_.page = &page_;
}

void ReplyLoan::lend_found(const protocol::FoundServices& found) {
  for (const protocol::FoundService& service : found.services)
    services_.push_back({lend(service.name), to_c(service.uuid), lend(service.owner),
                         lend(service.metadata), service.is_public, service.expires_in_ms});
  found_ = {services_.data(), services_.size(), found.left_out};
  reply_.found = &found_;
}

ServiceLoan::ServiceLoan(const ServiceNotice& notice) {
  notice_.name = lend(notice.name);
  notice_.change = static_cast<sink_service_change>(notice.change);
  if (notice.uuid) {
    uuid_ = to_c(*notice.uuid);
    notice_.uuid = &uuid_;
  }
  notice_.code = static_cast<sink_reply_code>(notice.code);
  notice_.text = lend(notice.text);
}

}  // namespace sink::client::abi
