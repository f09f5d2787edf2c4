// Implements sink_client.h: drives one Link after the other over one Transport after the other.
// Each entry from libuv ends in flush(), so that a loop turn's frames leave in one write.
//
//   idle --start--> loading --> opening --open--> greeting --hello--> saving --> connected
//                     ^            ^                 |                   |          |
//                     +- waiting <-+-----------------+-------------------+----------+
//   any --close--> finishing --server's end or 1 s--> closed (handles close, then the core is freed)
#include <uv.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "client/identity_keeper.h"
#include "client/sink_client.h"
#include "client/transport.h"
#include "protocol/bytes.h"

namespace sink::client {
namespace {

constexpr size_t kWriteBytes = 256 * 1024;  // plaintext handed to TLS at once
constexpr uint64_t kFinishMs = 1'000;

uint32_t random_u32() {
  static thread_local std::random_device device;
  return static_cast<uint32_t>(device());
}

size_t encoded_size(const protocol::EventView& event) {
  using protocol::varint_size;
  return varint_size(event.event_type_id) + varint_size(event.schema_version) +
         varint_size(event.key.size()) + event.key.size() + varint_size(event.offset) +
         varint_size(event.timestamp) + varint_size(event.event_data.size()) +
         event.event_data.size();
}

// What a refusal without words of its own means, and what to do.
protocol::Bytes explain(protocol::ResponseCode code) {
  switch (code) {
    case protocol::ResponseCode::instance_id_mismatch:
      return "the server knows this client, or this client knows the server, under another instance "
             "id; use the state file that belongs to both, or have the server's operator adopt the "
             "client (sinkctl client adopt)";
    case protocol::ResponseCode::unsupported_protocol_version:
      return "the server does not speak Sink protocol version 0; upgrade one of the two";
    case protocol::ResponseCode::unsupported_application_version:
      return "the server does not accept this application version; see application_versions in its "
             "configuration";
    case protocol::ResponseCode::quarantined:
      return "the server's operator has quarantined this client";
    case protocol::ResponseCode::connected:
    case protocol::ResponseCode::hello_new_client: break;
  }
  return "";
}

}  // namespace

const char* to_string(Stage stage) {
  switch (stage) {
    case Stage::identity: return "identity";
    case Stage::resolving: return "resolving";
    case Stage::connecting: return "connecting";
    case Stage::securing: return "securing";
    case Stage::handshaking: return "handshaking";
    case Stage::connected: return "connected";
  }
  return "unknown";
}

class Connection::Core final : public Transport::Owner {
 public:
  Core(uv_loop_t* loop, Options options, std::shared_ptr<Persistence> persistence,
       Listener& listener);

  void start();
  PublishResult publish(const protocol::EventView& event, uint64_t tag);
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);
  void flush();
  void close();
  void abandon();
  ConnectionState public_state() const;
  const DurableState& durable() const { return durable_; }

 private:
  enum class State : uint8_t {
    idle, loading, waiting, opening, greeting, saving, connected, finishing, closed
  };
  void load_identity();
  void save_identity(uint32_t server_instance_id);
  void open();
  void on_open() override;
  void on_input(protocol::Bytes bytes) override;
  void on_writable() override;
  void on_end(Stage stage, std::string reason) override;
  void process_input();
  void dispatch(const LinkEvent& event);
  void refused(const LinkRefused& refusal);
  void report_connected();
  void report_room();
  void write_output();
  uint64_t retry_later();
  void fail(Stage stage, std::string reason);
  void arm(uint64_t delay_ms);
  void arm_keepalive();
  void on_timer();
  void on_keepalive_due();
  void flush_soon();
  void finish_closing();
  void release();
  bool over() const { return state_ == State::finishing || state_ == State::closed; }
  uint64_t now_ms() const { return uv_now(loop_); }

  uv_loop_t* loop_;
  Options options_;
  IdentityKeeper keeper_;
  Listener* listener_;  // null once abandoned
  DurableState durable_;
  std::unique_ptr<Transport> transport_;
  std::optional<Link> link_;  // stays, ended, until the next attempt: callers may hold its views
  uv_timer_t timer_{};
  uv_idle_t turn_end_{};
  State state_ = State::idle;
  uint32_t connection_ = 0;  // counts attempts; fences DeliveryIds
  bool new_client_ = false;
  bool room_wanted_ = false;
  bool identified_ = false;  // durable_.identity is what is kept on disk
  bool abandoned_ = false;   // the facade is gone
  int open_handles_ = 2;     // must close before the core is freed
};

Connection::Core::Core(uv_loop_t* loop, Options options, std::shared_ptr<Persistence> persistence,
                       Listener& listener)
    : loop_(loop), options_(std::move(options)), keeper_(loop, std::move(persistence)),
      listener_(&listener),
      durable_{{}, PublishQueue({options_.queue_events != 0 ? options_.queue_events
                                                            : size_t{1000} + options_.window,
                                 options_.queue_bytes}), {}, {}} {
  uv_timer_init(loop_, &timer_);  // neither init can fail
  uv_idle_init(loop_, &turn_end_);
  timer_.data = this;
  turn_end_.data = this;
}

void Connection::Core::start() {
  if (state_ == State::idle) load_identity();
}

// ---- instance ids, on libuv's pool ----

void Connection::Core::load_identity() {
  state_ = State::loading;
  keeper_.load(random_u32(), [this](const tl::expected<Identity, std::string>& loaded) {
    if (state_ != State::loading) return;
    if (!loaded) return fail(Stage::identity, loaded.error());
    durable_.identity = *loaded;
    identified_ = true;
    open();
  });
}

void Connection::Core::save_identity(uint32_t server_instance_id) {
  state_ = State::saving;
  uv_timer_stop(&timer_);  // the disk may take its time; the server's patience is its own affair
  const Identity identity{durable_.identity.client_instance_id, server_instance_id};
  keeper_.save(identity, [this](const tl::expected<Identity, std::string>& saved) {
    if (state_ != State::saving) return;
    if (!saved) return fail(Stage::identity, saved.error());
    link_->identity_saved();
    process_input();
  });
}

// ---- one attempt ----

void Connection::Core::open() {
  state_ = State::opening;
  link_.reset();
  ++connection_;
  arm(options_.connect_timeout_ms);
  transport_ = std::make_unique<Transport>(
      loop_, Transport::Target{options_.server, options_.tls, options_.server_name, connection_ - 1},
      *this);
  transport_->open();
}

void Connection::Core::on_open() {
  state_ = State::greeting;
  LinkOptions link_options;
  link_options.application_version = options_.application_version;
  link_options.window = options_.window;
  link_options.keepalive_ms = options_.keepalive_ms;
  link_options.first_message_id = static_cast<uint16_t>(random_u32() % protocol::kMessageIds);
  link_.emplace(durable_, link_options, now_ms());
  flush();
}

void Connection::Core::on_input(protocol::Bytes bytes) {
  if (!link_) return;
  link_->lend(bytes, now_ms());
  process_input();
}

void Connection::Core::process_input() {
  while (const auto event = link_->next()) dispatch(*event);
  link_->settle();
  if (link_->state() == LinkState::ended) return;
  report_room();
  flush();
  if (transport_ == nullptr) return;
  if (!link_->wants_input()) return transport_->pause_input();
  transport_->resume_input();
}

void Connection::Core::dispatch(const LinkEvent& event) {
  if (const auto* answered = std::get_if<PublishAnswered>(&event)) {
    if (listener_ != nullptr)
      listener_->on_answer({answered->tag, answered->acked, answered->machine, answered->human,
                            answered->payload});
  } else if (const auto* delivered = std::get_if<EventDelivered>(&event)) {
    if (listener_ != nullptr)
      listener_->on_delivery({{connection_, delivered->message_id}, delivered->event,
                              delivered->payload});
  } else if (const auto* hello = std::get_if<HelloNewClient>(&event)) {
    new_client_ = true;
    save_identity(hello->server_instance_id);
  } else if (std::holds_alternative<HandshakeDone>(event)) {
    report_connected();
  } else if (const auto* refusal = std::get_if<LinkRefused>(&event)) {
    refused(*refusal);
  } else if (const auto* failure = std::get_if<LinkFailed>(&event)) {
    fail(state_ == State::connected ? Stage::connected : Stage::handshaking, failure->reason);
  }
}

void Connection::Core::report_connected() {
  state_ = State::connected;
  arm_keepalive();
  const Connected connected{std::exchange(new_client_, false),
                            durable_.identity.server_instance_id.value_or(0),
                            transport_->tls_version(), transport_->tls_cipher()};
  if (listener_ != nullptr) listener_->on_connected(connected);
}

void Connection::Core::report_room() {
  if (!room_wanted_ || durable_.queue.full() || listener_ == nullptr) return;
  room_wanted_ = false;
  listener_->on_room();
}

void Connection::Core::refused(const LinkRefused& refusal) {
  const uint64_t delay_ms = retry_later();
  if (listener_ == nullptr) return;
  const auto human = refusal.human.empty() ? explain(refusal.code) : refusal.human;
  listener_->on_refused({refusal.code, refusal.machine, human, delay_ms});
}

void Connection::Core::on_end(Stage stage, std::string reason) {
  if (state_ == State::finishing) return finish_closing();
  fail(state_ == State::connected ? Stage::connected : stage, std::move(reason));
}

void Connection::Core::fail(Stage stage, std::string reason) {
  if (over()) return;
  const uint64_t delay_ms = retry_later();
  if (listener_ != nullptr) listener_->on_disconnected({stage, std::move(reason), delay_ms});
}

uint64_t Connection::Core::retry_later() {
  transport_.reset();
  if (link_) link_->end();
  durable_.queue.rewind();
  new_client_ = false;
  state_ = State::waiting;
  const uint64_t delay_ms = durable_.backoff.next_delay_ms(random_u32());
  arm(delay_ms);
  return delay_ms;
}

// ---- time ----

void Connection::Core::arm(uint64_t delay_ms) {
  uv_update_time(loop_);
  uv_timer_start(
      &timer_, [](uv_timer_t* timer) { static_cast<Core*>(timer->data)->on_timer(); }, delay_ms, 0);
}

void Connection::Core::arm_keepalive() {
  const uint64_t now = now_ms();
  arm(std::max(link_->deadline_ms(), now + 1) - now);
}

void Connection::Core::on_timer() {
  switch (state_) {
    case State::waiting:
      // A save that outlasted its connection comes first: the ids are written by one at a time.
      if (keeper_.busy()) return arm(kRetryFirstMs);
      return identified_ ? open() : load_identity();
    case State::opening:
    case State::greeting:
      return fail(transport_->stage(), "no answer within " +
                                           std::to_string(options_.connect_timeout_ms) + " ms");
    case State::connected: return on_keepalive_due();
    case State::finishing: return finish_closing();
    case State::idle:
    case State::loading:
    case State::saving:
    case State::closed: return;
  }
}

void Connection::Core::on_keepalive_due() {
  const auto failure = link_->tick(now_ms());
  if (failure) return fail(Stage::connected, failure->reason);
  arm_keepalive();
  flush();
}

// ---- events ----

PublishResult Connection::Core::publish(const protocol::EventView& event, uint64_t tag) {
  if (over()) return PublishResult::closed;
  if (!protocol::event_fits(encoded_size(event))) return PublishResult::too_large;
  if (!durable_.queue.push(event, tag)) {
    room_wanted_ = true;
    return PublishResult::queue_full;
  }
  if (state_ == State::connected) {
    link_->send_queued();
    flush_soon();
  }
  return PublishResult::queued;
}

bool Connection::Core::ack(DeliveryId id) {
  if (state_ != State::connected || id.connection != connection_) return false;
  if (!link_->ack(id.message_id)) return false;
  flush_soon();
  return true;
}

bool Connection::Core::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  if (state_ != State::connected || id.connection != connection_) return false;
  if (!link_->nack(id.message_id, machine, human)) return false;
  flush_soon();
  return true;
}

// An idle handle runs once before the loop would block, wherever in the turn it was started.
void Connection::Core::flush_soon() {
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&turn_end_)) != 0) return;
  uv_idle_start(&turn_end_, [](uv_idle_t* idle) {
    uv_idle_stop(idle);
    static_cast<Core*>(idle->data)->flush();
  });
}

void Connection::Core::flush() {
  if (state_ != State::greeting && state_ != State::connected) return;
  write_output();
}

void Connection::Core::write_output() {
  while (transport_->writable() && !link_->output().empty()) {
    const auto bytes = link_->output().unsent().substr(0, kWriteBytes);
    const auto written = transport_->write(bytes);
    if (!written) return on_end(transport_->stage(), written.error());
    link_->mark_sent(bytes.size(), now_ms());
  }
  if (state_ == State::connected && link_->wants_input()) transport_->resume_input();
}

// ---- the end ----

void Connection::Core::close() {
  if (over()) return;
  const bool speaking = state_ == State::connected;
  state_ = State::finishing;
  uv_idle_stop(&turn_end_);
  if (link_) link_->end();
  if (!speaking) {
    transport_.reset();
    return arm(0);
  }
  arm(kFinishMs);
  on_writable();
}

void Connection::Core::on_writable() {
  if (state_ != State::finishing) return flush();
  write_output();
  if (transport_ != nullptr && link_->output().empty()) transport_->finish();
}

void Connection::Core::abandon() {
  listener_ = nullptr;
  abandoned_ = true;
  if (link_) link_->end();
  if (open_handles_ == 0) {
    delete this;
    return;
  }
  finish_closing();
}

void Connection::Core::finish_closing() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  transport_.reset();
  const auto closed = [](uv_handle_t* handle) { static_cast<Core*>(handle->data)->release(); };
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&turn_end_), closed);
}

void Connection::Core::release() {
  if (--open_handles_ > 0) return;
  if (abandoned_) {
    delete this;
    return;
  }
  listener_->on_closed();  // may destroy the facade, and with it this core
}

ConnectionState Connection::Core::public_state() const {
  switch (state_) {
    case State::idle: return ConnectionState::idle;
    case State::loading:
    case State::opening:
    case State::greeting:
    case State::saving: return ConnectionState::connecting;
    case State::waiting: return ConnectionState::waiting;
    case State::connected: return ConnectionState::connected;
    case State::finishing: return ConnectionState::closing;
    case State::closed: return open_handles_ > 0 ? ConnectionState::closing : ConnectionState::closed;
  }
  return ConnectionState::closed;
}

// ---- the facade ----

Connection::Connection(uv_loop_t* loop, Options options, std::shared_ptr<Persistence> persistence,
                       Listener& listener)
    : core_(new Core(loop, std::move(options), std::move(persistence), listener)) {}
Connection::~Connection() { core_->abandon(); }
void Connection::start() { core_->start(); }
PublishResult Connection::publish(const protocol::EventView& event, uint64_t tag) {
  return core_->publish(event, tag);
}
bool Connection::ack(DeliveryId id) { return core_->ack(id); }
bool Connection::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  return core_->nack(id, machine, human);
}
void Connection::flush() { core_->flush(); }
void Connection::close() { core_->close(); }
ConnectionState Connection::state() const { return core_->public_state(); }
size_t Connection::unanswered() const { return core_->durable().queue.size(); }
const Counters& Connection::counters() const { return core_->durable().counters; }
const Identity& Connection::identity() const { return core_->durable().identity; }

}  // namespace sink::client
