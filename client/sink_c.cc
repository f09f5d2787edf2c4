// Implements sink.h over Connection and ThreadedConnection: translates, decides nothing. Invariant:
// no exception leaves it; where memory ends the process ends, as in the C++ library.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "client/sink.h"
#include "client/channel_desk.h"
#include "client/sink_c_channels.h"
#include "client/sink_c_lend.h"
#include "client/sink_c_options.h"
#include "client/sink_c_requests.h"
#include "client/sink_client.h"
#include "client/threaded_connection.h"

namespace {

using namespace sink;
using protocol::Bytes;

using client::abi::borrow;
using client::abi::grown;
using client::abi::lend;
using client::abi::lend_decoded;
using client::abi::or_empty;

// The numbers of the ABI are those of the C++ enums.
static_assert(SINK_STATE_DISCONNECTED == int(client::ConnectionState::disconnected));
static_assert(SINK_STATE_CONNECTING == int(client::ConnectionState::connecting));
static_assert(SINK_STATE_CONNECTED == int(client::ConnectionState::connected));
static_assert(SINK_STATE_RECONNECTING == int(client::ConnectionState::reconnecting));
static_assert(SINK_STATE_FAILED == int(client::ConnectionState::failed));
static_assert(SINK_STATE_CLOSED == int(client::ConnectionState::closed));
static_assert(SINK_TOOK_OVER == int(client::ContestOutcome::took_over));
static_assert(SINK_TURNED_AWAY == int(client::ContestOutcome::turned_away));
static_assert(SINK_REFUSED == int(client::ContestOutcome::refused));
static_assert(SINK_LOST == int(client::ContestOutcome::lost));
static_assert(SINK_DROP_OVERFLOW == int(client::DropReason::overflow));
static_assert(SINK_DROP_AGED_OUT == int(client::DropReason::aged_out));
static_assert(SINK_DROP_FAILED == int(client::DropReason::failed));
static_assert(SINK_DROP_CLOSED == int(client::DropReason::closed));

sink_state to_c(client::ConnectionState state) {
  return static_cast<sink_state>(state);
}
sink_drop_reason to_c(client::DropReason reason) {
  return static_cast<sink_drop_reason>(reason);
}

sink_result to_c(client::PublishResult result) {
  switch (result) {
    case client::PublishResult::queued:
      return SINK_OK;
    case client::PublishResult::queue_full:
      return SINK_QUEUE_FULL;
    case client::PublishResult::too_large:
      return SINK_TOO_LARGE;
    case client::PublishResult::closed:
      return SINK_CLOSED;
  }
  return SINK_CLOSED;
}

sink_result to_c(client::ChannelSend sent) {
  switch (sent) {
    case client::ChannelSend::queued:
      return SINK_OK;
    case client::ChannelSend::queue_full:
      return SINK_QUEUE_FULL;
    case client::ChannelSend::too_large:
      return SINK_TOO_LARGE;
    case client::ChannelSend::closed:
      return SINK_CLOSED;
  }
  return SINK_CLOSED;
}

class Callbacks final : public client::Listener {
 public:
  explicit Callbacks(const sink_callbacks& callbacks) : to_(callbacks) {}

 private:
  void on_state(const client::StateChange& change) override {
    const sink_state_change c{to_c(change.from), to_c(change.to), lend(change.reason)};
    if (to_.on_state != nullptr) to_.on_state(to_.user, &c);
  }
  void on_connected(const client::Connected& now) override {
    const sink_connected c{now.server_instance_id, now.protocol_version,
                           now.new_client,         now.resumed,
                           now.tls_version,        now.tls_cipher,
                           lend(now.server),
                           now.reason == protocol::ConnectionReason::delivery};
    if (to_.on_connected != nullptr) to_.on_connected(to_.user, &c);
  }
  void on_disconnected(const client::Disconnection& lost) override {
    const sink_disconnection c{to_string(lost.stage), lend(lost.reason), lost.retry_in_ms};
    if (to_.on_disconnected != nullptr) to_.on_disconnected(to_.user, &c);
  }
  void on_refused(const client::Refusal& refusal) override {
    const sink_refusal c{static_cast<uint32_t>(refusal.code), protocol::to_string(refusal.code),
                         lend(refusal.machine), lend(refusal.human), refusal.retry_in_ms};
    if (to_.on_refused != nullptr) to_.on_refused(to_.user, &c);
  }
  void on_contest(const client::Contest& contest) override {
    const sink_contest c{lend(contest.server), static_cast<sink_contest_outcome>(contest.outcome),
                         lend(contest.reason)};
    if (to_.on_contest != nullptr) to_.on_contest(to_.user, &c);
  }
  void on_link(const client::LinkChange& change) override {
    const sink_link_change c{change.number, change.up, lend(change.reason)};
    if (to_.on_link != nullptr) to_.on_link(to_.user, &c);
  }
  void on_fallback() override {
    if (to_.on_fallback != nullptr) to_.on_fallback(to_.user);
  }
  void on_answer(const client::Answer& answer) override {
    const sink_answer c{answer.tag, answer.acked, lend(answer.machine), lend(answer.human),
                        lend_decoded(answer.payload)};
    if (to_.on_answer != nullptr) to_.on_answer(to_.user, &c);
  }
  void on_delivery(const client::Delivery& delivery) override {
    const sink_delivery c{{delivery.id.connection, delivery.id.message_id},
                          lend(delivery.event),
                          lend(delivery.subscription),
                          lend(delivery.source),
                          delivery.attempt};
    if (to_.on_delivery != nullptr) to_.on_delivery(to_.user, &c);
  }
  void on_dropped(const client::Dropped& dropped) override {
    if (to_.on_dropped == nullptr) return;
    std::vector<sink_dropped_event> events;
    events.reserve(dropped.events.size());
    for (const client::DroppedEvent& event : dropped.events)
      events.push_back({event.tag, event.sent, lend_decoded(event.payload)});
    const sink_dropped c{to_c(dropped.reason), events.size(), events.data()};
    to_.on_dropped(to_.user, &c);
  }
  void on_kept(const client::Kept& kept) override {
    if (to_.on_kept != nullptr) to_.on_kept(to_.user, kept.tags.data(), kept.tags.size());
  }
  void on_session_not_kept(Bytes reason) override {
    if (to_.on_session_not_kept != nullptr) to_.on_session_not_kept(to_.user, lend(reason));
  }
  void on_reply(const client::Reply& reply) override {
    if (to_.on_reply == nullptr) return;
    const client::abi::ReplyLoan loan(reply);
    to_.on_reply(to_.user, &loan.reply());
  }
  void on_service(const client::ServiceNotice& notice) override {
    if (to_.on_service == nullptr) return;
    const client::abi::ServiceLoan loan(notice);
    to_.on_service(to_.user, &loan.notice());
  }
  void on_room() override {
    if (to_.on_room != nullptr) to_.on_room(to_.user);
  }
  void on_closed() override {
    if (to_.on_closed != nullptr) to_.on_closed(to_.user);
  }

  const sink_callbacks to_;
};

sink_connection* refuse(const std::string& problem, char* error, size_t error_size) {
  if (error != nullptr && error_size > 0) {
    const size_t size = std::min(problem.size(), error_size - 1);
    std::memcpy(error, problem.data(), size);
    error[size] = '\0';
  }
  return nullptr;
}

// The caller's struct may be an older, shorter one, or a newer, longer one.
template <class Struct>
void init(Struct* theirs, Struct whole, size_t size) {
  whole.size = size;
  std::memset(static_cast<void*>(theirs), 0, size);
  std::memcpy(static_cast<void*>(theirs), &whole, std::min(size, sizeof whole));
}

}  // namespace

// Exactly one of the two connections, and whom it tells. Freed within a callback it goes at once:
// the connection knows its listener no more, and what libuv still holds frees itself.
struct sink_connection {
  sink_connection(const sink_callbacks& callbacks, const sink_channels* channels)
      : listener(callbacks) {
    if (channels == nullptr) return;
    const sink_channels given = grown(*channels, client::abi::default_channels());
    channel_listener.emplace(given);
    desk = std::make_shared<client::ChannelDesk>(listener, *channel_listener,
                                                 client::abi::options_of(given));
  }
  ~sink_connection() {
    if (desk != nullptr && on_loop != nullptr) desk->detach();
  }
  client::Listener& whom_to_tell() {
    if (desk != nullptr) return *desk;
    return listener;
  }
  Callbacks listener;
  std::optional<client::abi::ChannelCallbacks> channel_listener;
  std::shared_ptr<client::ChannelDesk> desk;  // null: without channels
  std::unique_ptr<client::Connection> on_loop;
  std::unique_ptr<client::ThreadedConnection> on_thread;
};

namespace {

sink_result request(sink_connection* connection, const protocol::ControlRequest& wanted,
                    uint64_t tag) {
  if (tag >= client::ServiceOffers::kOwnTags) return SINK_NOT_TAKEN;
  const bool taken = connection->on_thread != nullptr ? connection->on_thread->request(wanted, tag)
                                                      : connection->on_loop->request(wanted, tag);
  if (taken) return SINK_OK;
  const sink_state state = sink_connection_state(connection);
  return state == SINK_STATE_FAILED || state == SINK_STATE_CLOSED ? SINK_CLOSED : SINK_NOT_TAKEN;
}

}  // namespace

extern "C" {

void sink_options_init_sized(sink_options* options, size_t size) {
  init(options, client::abi::default_options(), size);
}

void sink_callbacks_init_sized(sink_callbacks* callbacks, size_t size) {
  init(callbacks, sink_callbacks{}, size);
}

void sink_counters_init_sized(sink_counters* counters, size_t size) {
  init(counters, sink_counters{}, size);
}

void sink_subscription_init_sized(sink_subscription* subscription, size_t size) {
  init(subscription, sink_subscription{}, size);
}

void sink_place_init_sized(sink_place* place, size_t size) {
  init(place, sink_place{}, size);
}

void sink_service_init_sized(sink_service* service, size_t size) {
  init(service, sink_service{}, size);
}

void sink_channels_init_sized(sink_channels* channels, size_t size) {
  init(channels, client::abi::default_channels(), size);
}

void sink_channel_target_init_sized(sink_channel_target* target, size_t size) {
  init(target, sink_channel_target{}, size);
}

sink_connection* sink_connection_new(uv_loop_s* loop, const sink_options* options,
                                     const sink_callbacks* callbacks, char* error,
                                     size_t error_size) {
  if (options == nullptr || options->size == 0)
    return refuse("options: call sink_options_init() first", error, error_size);
  if (callbacks == nullptr || callbacks->size == 0)
    return refuse("callbacks: call sink_callbacks_init() first", error, error_size);
  const sink_options given = grown(*options, client::abi::default_options());
  client::Options wanted;
  if (const auto problem = client::abi::read_options(given, wanted))
    return refuse(*problem, error, error_size);
  if (const auto problem = client::abi::problem_with_channels(given.channels))
    return refuse(*problem, error, error_size);
  auto* made = new sink_connection(grown(*callbacks, sink_callbacks{}), given.channels);
  if (loop == nullptr) {
    made->on_thread = std::make_unique<client::ThreadedConnection>(
        std::move(wanted), client::abi::persistence_of(given), made->whom_to_tell());
    if (made->desk != nullptr) made->desk->attach(*made->on_thread);
  } else {
    made->on_loop = std::make_unique<client::Connection>(
        loop, std::move(wanted), client::abi::persistence_of(given), made->whom_to_tell());
    if (made->desk != nullptr) made->desk->attach(*made->on_loop);
  }
  return made;
}

void sink_connection_free(sink_connection* connection) {
  delete connection;
}

sink_result sink_start(sink_connection* connection) {
  if (connection->on_thread != nullptr)
    return connection->on_thread->start() ? SINK_OK : SINK_NO_THREAD;
  connection->on_loop->start();
  return SINK_OK;
}

sink_result sink_publish(sink_connection* connection, const sink_event* event, uint64_t tag) {
  const protocol::EventView view{event->event_type_id, event->schema_version,
                                 borrow(event->key),   event->offset,
                                 event->timestamp,     borrow(event->event_data)};
  return to_c(connection->on_thread != nullptr ? connection->on_thread->publish(view, tag)
                                               : connection->on_loop->publish(view, tag));
}

sink_result sink_ack(sink_connection* connection, sink_delivery_id id) {
  const client::DeliveryId named{id.connection, id.message_id};
  if (connection->on_thread != nullptr)
    return connection->on_thread->ack(named) ? SINK_OK : SINK_CLOSED;
  return connection->on_loop->ack(named) ? SINK_OK : SINK_UNKNOWN_DELIVERY;
}

sink_result sink_nack(sink_connection* connection, sink_delivery_id id, sink_bytes machine,
                      sink_bytes human) {
  const client::DeliveryId named{id.connection, id.message_id};
  if (connection->on_thread != nullptr)
    return connection->on_thread->nack(named, borrow(machine), borrow(human)) ? SINK_OK
                                                                              : SINK_CLOSED;
  return connection->on_loop->nack(named, borrow(machine), borrow(human)) ? SINK_OK
                                                                          : SINK_UNKNOWN_DELIVERY;
}

sink_result sink_subscribe(sink_connection* connection, const sink_subscription* subscription,
                           uint64_t tag) {
  const sink_subscription whole = grown(*subscription, sink_subscription{});
  return request(connection, client::abi::to_request(whole), tag);
}

sink_result sink_unsubscribe(sink_connection* connection, const char* name, uint64_t tag) {
  return request(connection, protocol::Unsubscribe{or_empty(name)}, tag);
}

sink_result sink_read_log(sink_connection* connection, const sink_place* place, uint64_t tag) {
  const sink_place whole = grown(*place, sink_place{});
  return request(connection, client::abi::to_request(whole), tag);
}

sink_result sink_lookup(sink_connection* connection, const char* name, uint64_t tag) {
  return request(connection, protocol::Lookup{or_empty(name), {}}, tag);
}

sink_result sink_lookup_uuid(sink_connection* connection, const sink_uuid* uuid, uint64_t tag) {
  return request(connection, protocol::Lookup{{}, client::abi::uuid_of(*uuid)}, tag);
}

sink_result sink_expose(sink_connection* connection, const sink_service* service) {
  const sink_service whole = grown(*service, sink_service{});
  protocol::Expose offer = client::abi::to_request(whole);
  const bool taken = connection->on_thread != nullptr
                         ? connection->on_thread->expose(std::move(offer))
                         : connection->on_loop->expose(std::move(offer));
  return taken ? SINK_OK : SINK_NOT_TAKEN;
}

sink_result sink_withdraw(sink_connection* connection, const char* name) {
  const bool known = connection->on_thread != nullptr
                         ? connection->on_thread->withdraw(or_empty(name))
                         : connection->on_loop->withdraw(or_empty(name));
  return known ? SINK_OK : SINK_NOT_TAKEN;
}

sink_result sink_open_channel(sink_connection* connection, const sink_channel_target* target,
                              uint64_t tag) {
  if (connection->desk == nullptr) return SINK_NOT_TAKEN;
  const sink_channel_target whole = grown(*target, sink_channel_target{});
  return request(connection, client::abi::to_request(whole), tag);
}

sink_result sink_close_channel(sink_connection* connection, const sink_uuid* channel,
                               uint64_t tag) {
  if (connection->desk == nullptr) return SINK_NOT_TAKEN;
  return request(connection, protocol::CloseChannel{client::abi::uuid_of(*channel)}, tag);
}

sink_result sink_send(sink_connection* connection, const sink_uuid* channel, sink_bytes message) {
  if (connection->desk == nullptr) return SINK_CLOSED;
  return to_c(connection->desk->send(client::abi::uuid_of(*channel), borrow(message)));
}

size_t sink_buffered_amount(const sink_connection* connection, const sink_uuid* channel) {
  if (connection->desk == nullptr) return 0;
  return connection->desk->buffered_amount(client::abi::uuid_of(*channel));
}

void sink_flush(sink_connection* connection) {
  if (connection->on_loop != nullptr) connection->on_loop->flush();
}

void sink_close(sink_connection* connection) {
  if (connection->on_thread != nullptr) return connection->on_thread->close();
  connection->on_loop->close();
}

sink_state sink_connection_state(const sink_connection* connection) {
  return to_c(connection->on_thread != nullptr ? connection->on_thread->state()
                                               : connection->on_loop->state());
}

size_t sink_unanswered(const sink_connection* connection) {
  return connection->on_thread != nullptr ? connection->on_thread->unanswered()
                                          : connection->on_loop->unanswered();
}

void sink_read_counters(const sink_connection* connection, sink_counters* counters) {
  const client::Counters now = connection->on_thread != nullptr ? connection->on_thread->counters()
                                                                : connection->on_loop->counters();
  const sink_counters whole{counters->size, now.handshakes,       now.resumed,
                            now.publishes,  now.republishes,      now.acked,
                            now.nacked,     now.overflowed,       now.aged_out,
                            now.given_up,   now.late_answers,     now.unknown_answers,
                            now.deliveries, now.deliveries_acked, now.deliveries_nacked};
  std::memcpy(counters, &whole, std::min(counters->size, sizeof whole));
}

size_t sink_read_links(const sink_connection* connection, sink_link* links, size_t count) {
  const auto all = connection->on_thread != nullptr ? connection->on_thread->links()
                                                    : connection->on_loop->links();
  for (size_t i = 0; i < std::min(count, all.size()); ++i) {
    const client::LinkStatus& link = all[i];
    links[i] = {link.number,   to_c(link.state), link.since_ms,  link.median_us,
                link.worst_us, link.resumed,     link.in_flight, link.unanswered};
  }
  return all.size();
}

const char* sink_state_name(sink_state state) {
  return to_string(static_cast<client::ConnectionState>(state));
}

const char* sink_drop_reason_name(sink_drop_reason reason) {
  return to_string(static_cast<client::DropReason>(reason));
}

const char* sink_channel_end_name(sink_channel_end end) {
  if (end == SINK_CHANNEL_LEFT) return "the connection is over";
  return to_string(static_cast<protocol::ChannelEndReason>(end));
}

const char* sink_version(void) {
  return SINKD_VERSION;
}

}  // extern "C"
