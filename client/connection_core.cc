#include "client/connection_core.h"

#include <algorithm>
#include <random>
#include <utility>

#include "client/refusal_words.h"
#include "protocol/bytes.h"

namespace sink::client {
namespace {

constexpr size_t kWriteBytes = 256 * 1024;  // plaintext handed to TLS at once
constexpr uint64_t kSaveWaitMs = 1'000;     // until a save under way is asked about again
constexpr uint64_t kFinishMs = 1'000;

uint32_t random_u32() {
  static thread_local std::random_device device;
  return static_cast<uint32_t>(device());
}

}  // namespace

ConnectionCore::ConnectionCore(uv_loop_t* loop, Options options,
                               std::shared_ptr<Persistence> persistence, Listener& listener,
                               PoolPlace place)
    : loop_(loop),
      options_(std::move(options)),
      place_(place),
      keeper_(loop, std::move(persistence)),
      servers_(options_),
      sessions_(keeper_, options_.keep_session, servers_),
      outbox_(loop, options_.outbox),
      listener_(&listener),
      durable_{{},
               PublishQueue({options_.queue_events, options_.queue_bytes}),
               protocol::Backoff(options_.backoff),
               {},
               {}} {
  uv_timer_init(loop_, &timer_);  // neither init can fail
  uv_timer_init(loop_, &age_timer_);
  uv_timer_init(loop_, &contest_timer_);
  contest_timer_.data = this;
  uv_idle_init(loop_, &turn_end_);
  uv_timer_init(loop_, &outbox_timer_);
  age_timer_.data = this;
  uv_timer_init(loop_, &reminder_);
  reminder_.data = this;
  outbox_timer_.data = this;
  if (outbox_.keeps()) durable_.queue.remember_left();
  timer_.data = this;
  turn_end_.data = this;
}

void ConnectionCore::start() {
  if (state_ != State::idle) return;
  if (const auto problem = problem_with(options_)) {
    state_ = State::failed;
    enter(ConnectionState::failed, *problem);
    return give_up_the_rest(DropReason::failed);
  }
  load_identity("started");
}

// ---- what earlier runs have left, on libuv's pool ----

void ConnectionCore::load_identity(protocol::Bytes reason) {
  state_ = State::loading;
  enter(ConnectionState::connecting, reason);
  if (state_ != State::loading) return;
  keeper_.load(random_u32(), [this](const tl::expected<Identity, std::string>& loaded) {
    if (state_ != State::loading) return;
    if (!loaded) return fail(Stage::identity, loaded.error());
    identity_ = *loaded;
    identified_ = true;
    load_session();
  });
}

void ConnectionCore::load_session() {
  sessions_.load([this](const std::string& problem) {
    report_not_kept(problem);
    if (state_ == State::loading) load_outbox();
  });
}

void ConnectionCore::report_not_kept(const std::string& problem) {
  if (!problem.empty() && listener_ != nullptr) listener_->on_session_not_kept(problem);
}

void ConnectionCore::load_outbox() {
  state_ = State::loading;
  if (restored_ || !outbox_.keeps()) {
    return begin();
  }
  outbox_.load([this](tl::expected<std::vector<KeptEvent>, OutboxError>& kept) {
    if (state_ == State::finishing) return finish_closing();
    if (state_ != State::loading) return;
    if (!kept) return fail(Stage::identity, kept.error().message);
    uv_update_time(loop_);
    for (const KeptEvent& event : *kept) durable_.queue.restore(event.payload, event.tag, now_ms());
    restored_ = true;
    begin();
    watch_ages();
    report_room();
  });
}

// What there was to load is there.
void ConnectionCore::begin() {
  if (!std::exchange(begun_, true)) {
    if (const auto server = sessions_.delivered_last()) servers_.note_delivery(*server);
    const auto last = sessions_.last_server();
    turn_to(last && servers_.is_dialled(*last) ? *last : servers_.first());
    report_not_kept(sessions_.restore(durable_));
    if (state_ != State::loading || !receive_callers()) return;
  }
  if (servers_.is_dialled(servers_.next())) return open();
  await_call("it waits for a server to call");
}

void ConnectionCore::save_identity(uint32_t server_instance_id) {
  state_ = State::saving;
  uv_timer_stop(&timer_);  // the disk may take its time; the server's patience is its own affair
  Identity identity = identity_;
  servers_.note_id(present(), server_instance_id, identity);
  const size_t server = present();
  keeper_.save(identity, [=, this](const tl::expected<Identity, std::string>& saved) {
    if (saved) servers_.note_id(server, server_instance_id, identity_);
    if (state_ != State::saving || server != present()) return;
    if (!saved) return fail(Stage::identity, saved.error());
    link_->identity_saved();
    process_input();
  });
}

// ---- one attempt ----

void ConnectionCore::open() {
  turn_to(servers_.next());
  state_ = State::opening;
  enter(was_connected_ ? ConnectionState::reconnecting : ConnectionState::connecting,
        "the wait is over");
  if (state_ != State::opening) return;
  link_.reset();
  goodbye_.clear();
  ++attempts_;
  arm(options_.connect_timeout_ms);
  const bool was_here = attempts_ == 1 && sessions_.last_server() == present();
  const std::string address = was_here ? sessions_.last_address() : std::string();
  transport_ = std::make_unique<Transport>(
      loop_,
      Transport::Target{servers_.endpoint(present()), options_.tls, servers_.name(present()),
                        servers_.next_address(present()), address},
      *this);
  transport_->open();
}

LinkOptions ConnectionCore::link_options() {
  LinkOptions link_options;
  link_options.application_version = options_.application_version;
  link_options.window = options_.window;
  link_options.keepalive_ms = options_.keepalive_ms;
  link_options.first_message_id = static_cast<uint16_t>(random_u32() % protocol::kMessageIds);
  link_options.number = place_.number;
  link_options.watched = place_.watched;
  return link_options;
}

void ConnectionCore::on_open() {
  state_ = State::greeting;
  LinkOptions asked = link_options();
  if (place_.number == 0) {  // a further link of a pool knows what the first has found
    asked.protocol_version = servers_.version(present()).to_ask(now_ms());
    servers_.version(present()).on_asked(asked.protocol_version);
  }
  link_ = std::make_unique<Link>(durable_, asked, now_ms());
  flush();
}

void ConnectionCore::on_input(protocol::Bytes bytes) {
  if (!link_) return;
  if (place_.number == 0 && servers_.version(present()).on_heard(now_ms()) && listener_ != nullptr)
    listener_->on_fallback();
  link_->lend(bytes, now_ms());
  process_input();
}

void ConnectionCore::process_input() {
  while (const auto event = link_->next()) dispatch(*event);
  link_->settle();
  if (link_->state() == LinkState::ended) return;
  report_room();
  flush();
  keep();
  if (transport_ == nullptr) return;
  if (!link_->wants_input()) return transport_->pause_input();
  transport_->resume_input();
}

void ConnectionCore::dispatch(const LinkEvent& event) {
  if (const auto* answered = std::get_if<PublishAnswered>(&event)) {
    if (listener_ != nullptr)
      listener_->on_answer(
          {answered->tag, answered->acked, answered->machine, answered->human, answered->payload});
  } else if (const auto* delivered = std::get_if<EventDelivered>(&event)) {
    servers_.note_delivery(present());
    sessions_.on_delivered(present(), delivered->message_id, durable_.session.received, now_ms(),
                           [this](const std::string& problem) { report_not_kept(problem); });
    if (listener_ != nullptr)
      listener_->on_delivery({{session_, delivered->message_id},
                              delivered->event,
                              delivered->payload,
                              delivered->subscription,
                              delivered->source,
                              delivered->attempt});
  } else if (const auto* hello = std::get_if<HelloNewClient>(&event)) {
    new_client_ = true;
    save_identity(hello->server_instance_id);
  } else if (const auto* done = std::get_if<HandshakeDone>(&event)) {
    report_connected(*done);
  } else if (const auto* goodbye = std::get_if<GoodbyeSaid>(&event)) {
    goodbye_ = std::string("the server said goodbye (") + protocol::to_string(goodbye->reason) +
               "): " + goodbye->human;
  } else if (const auto* reply = std::get_if<ReplyReceived>(&event)) {
    report_reply(*reply);
  } else if (const auto* ended = std::get_if<ServiceEnded>(&event)) {
    offers_.on_ended(*ended, [this](const ServiceNotice& notice) { report_service(notice); });
    run_offers();
  } else if (const auto* opened = std::get_if<ChannelOpened>(&event)) {
    if (listener_ != nullptr) listener_->on_channel_opened(opened->channel);
  } else if (const auto* over = std::get_if<ChannelClosed>(&event)) {
    if (listener_ != nullptr) listener_->on_channel_closed(*over);
  } else if (const auto* refusal = std::get_if<LinkRefused>(&event)) {
    refused(*refusal);
  } else if (const auto* failure = std::get_if<LinkFailed>(&event)) {
    fail(state_ == State::connected ? Stage::connected : Stage::handshaking, failure->reason);
  }
}

void ConnectionCore::report_connected(const HandshakeDone& done) {
  state_ = State::connected;
  was_connected_ = true;
  replaces_ = false;
  durable_.backoff.on_connected(now_ms());
  if (!done.resumed || session_ == 0) ++session_;
  servers_.on_connected(done.reason);
  servers_.version(present()).on_welcomed(link_->protocol_version());
  sessions_.on_connected(present(), done.resumed, transport_->address(), now_ms(),
                         [this](const std::string& problem) { report_not_kept(problem); });
  arm_keepalive();
  arm_contest();
  enter(ConnectionState::connected, done.resumed ? "the handshake is complete, the session goes on"
                                                 : "the handshake is complete");
  if (state_ != State::connected) return;
  watch_ages();  // what did not fit into the window waits on
  const Connected connected{
      std::exchange(new_client_, false), durable_.identity.server_instance_id.value_or(0),
      transport_->tls_version(),         transport_->tls_cipher(),
      link_->protocol_version(),         done.resumed,
      servers_.key(present()),             done.reason,
      reached() ? done.links : uint8_t{1}};
  if (listener_ != nullptr) listener_->on_connected(connected);
  offers_.on_connected(now_ms(), [this](const ServiceNotice& notice) { report_service(notice); });
  run_offers();
}

void ConnectionCore::report_room() {
  if (!room_wanted_ || durable_.queue.full() || listener_ == nullptr || over()) return;
  if (state_ == State::failed || (outbox_.keeps() && !restored_)) return;
  room_wanted_ = false;
  listener_->on_room();
}

// A server of version 0 is asked again at once, in its own; for version 1 tomorrow, or after a
// restart. Over a further link of a pool nothing but version 1 can be spoken.
bool ConnectionCore::fall_back(const LinkRefused& refusal) {
  if (place_.number != 0) return false;
  if (refusal.code != protocol::ResponseCode::unsupported_protocol_version ||
      !servers_.version(present()).on_unsupported(now_ms()))
    return false;
  durable_.session = {};
  transport_.reset();
  durable_.queue.rewind();
  state_ = State::waiting;
  arm(0);
  if (listener_ != nullptr) listener_->on_fallback();
  return true;
}

void ConnectionCore::refused(const LinkRefused& refusal) {
  if (fall_back(refusal)) return;
  // The end of the attempt leaves the views of the refusal alone.
  const uint64_t delay_ms = end_attempt(refusal.retry_after_ms, summary(refusal));
  if (listener_ == nullptr || over()) return;
  const auto human = refusal.human.empty() ? explain(refusal.code) : refusal.human;
  listener_->on_refused({refusal.code, refusal.machine, human, delay_ms});
  after_attempt();
}

void ConnectionCore::on_end(Stage stage, std::string reason) {
  if (state_ == State::finishing) return finish_closing();
  fail(state_ == State::connected ? Stage::connected : stage, std::move(reason));
}

void ConnectionCore::fail(Stage stage, std::string reason) {
  if (over()) return;
  servers_.version(present()).on_ended();
  if (!goodbye_.empty()) reason = std::exchange(goodbye_, {});
  const uint64_t delay_ms = end_attempt(0, reason);
  if (listener_ == nullptr || over()) return;
  listener_->on_disconnected({stage, std::move(reason), delay_ms});
  after_attempt();
}

// What was in flight waits again, or will never be sent.
void ConnectionCore::after_attempt() {
  report_unreplied();
  if (state_ == State::failed) return give_up_the_rest(DropReason::failed);
  uv_timer_stop(&age_timer_);  // what was in flight may be older
  watch_ages();
  keep();
}

// Waits for the next attempt, or fails for good. Answers the wait, 0 where there is none.
uint64_t ConnectionCore::end_attempt(uint64_t at_least_ms, const std::string& reason) {
  const bool was_connected = state_ == State::connected;
  if (was_connected) sessions_.on_lost();
  if (successor_) successor_->cancel();
  transport_.reset();
  if (link_) link_->end();
  if (!durable_.session.id) durable_.queue.rewind();
  new_client_ = false;
  const uint64_t now = now_ms();
  const bool was_up = std::exchange(replaces_, false) || was_connected;
  const auto turn =
      begun_ ? servers_.plan(was_up, now, at_least_ms) : Servers::Turn{present(), now, true};
  if (!turn) {
    await_call(reason);
    return 0;
  }
  uint64_t delay_ms = 1;
  if (turn->round_over) {
    const auto backoff_ms = durable_.backoff.next_delay_ms(now, random_u32());
    if (!backoff_ms) {
      enter_failed("gave up after " + std::to_string(options_.backoff.attempts_max) +
                   " attempts in a row; the last one: " + reason);
      return 0;
    }
    delay_ms = *backoff_ms;
  }
  delay_ms = std::max(delay_ms, std::max(turn->not_before_ms, now) - now);
  state_ = State::waiting;
  arm(delay_ms);
  enter(ConnectionState::disconnected, reason);
  return delay_ms;
}

void ConnectionCore::enter_failed(const std::string& reason) {
  state_ = State::failed;
  durable_.session = {};
  end_contests();
  uv_timer_stop(&timer_);
  uv_timer_stop(&age_timer_);
  enter(ConnectionState::failed, reason);
}

// Not for any fault of an attempt.
void ConnectionCore::fail_for_good(const std::string& reason) {
  if (over()) return;
  if (state_ == State::failed) return after_attempt();
  transport_.reset();
  if (link_) link_->end();
  enter_failed(reason);
  after_attempt();
}

void ConnectionCore::enter(ConnectionState to, protocol::Bytes reason) {
  const ConnectionState from = std::exchange(public_state_, to);
  if (listener_ != nullptr && from != to) listener_->on_state({from, to, reason});
}

// ---- time ----

void ConnectionCore::arm(uint64_t delay_ms) {
  uv_update_time(loop_);
  uv_timer_start(
      &timer_, [](uv_timer_t* timer) { static_cast<ConnectionCore*>(timer->data)->on_timer(); },
      delay_ms, 0);
}

void ConnectionCore::arm_keepalive() {
  const uint64_t now = now_ms();
  const uint64_t offers_ms = offers_.deadline_ms().value_or(UINT64_MAX);
  const uint64_t due_ms = std::min(link_->deadline_ms(), offers_ms);
  arm(std::max(due_ms, now + 1) - now);
}

void ConnectionCore::on_timer() {
  switch (state_) {
    case State::waiting:
      // A save that outlasted its connection comes first: the ids are written by one at a time.
      if (keeper_.busy()) return arm(kSaveWaitMs);
      return identified_ ? load_outbox() : load_identity("the wait is over");
    case State::opening:
    case State::greeting:
      return fail(transport_->stage(),
                  "no answer within " + std::to_string(options_.connect_timeout_ms) + " ms");
    case State::connected:
      return on_keepalive_due();
    case State::finishing:
      return finish_closing();
    case State::idle:
    case State::loading:
    case State::listening:
    case State::saving:
    case State::failed:
    case State::closed:
      return;
  }
}

void ConnectionCore::on_keepalive_due() {
  const auto failure = link_->tick(now_ms());
  if (failure) return fail(Stage::connected, failure->reason);
  run_offers();
  flush();
}

// ---- requests and answers ----

bool ConnectionCore::request(const protocol::ControlRequest& request, uint64_t tag) {
  if (ServiceOffers::is_own(tag)) return false;
  if (state_ != State::connected || !link_->request(request, tag)) return false;
  flush_soon();
  return true;
}

// The connection is gone, and with it whatever it had been asked.
void ConnectionCore::report_unreplied() {
  offers_.on_lost();
  if (!link_) return;
  for (const uint64_t tag : link_->take_unreplied())
    if (listener_ != nullptr && !ServiceOffers::is_own(tag)) listener_->on_reply({tag, nullptr});
}

// Between two connections an answer is remembered: a resumed session asks for it, any other
// delivers the event again.
bool ConnectionCore::may_answer_later(DeliveryId id) const {
  return state_ != State::connected && state_ != State::failed && !over() &&
         id.connection == session_ && id.message_id < protocol::kMessageIds &&
         durable_.session.id &&
         durable_.session.answers.is_unanswered(id.message_id);
}

bool ConnectionCore::ack(DeliveryId id) {
  if (may_answer_later(id)) {
    durable_.session.answers.on_ack(id.message_id);
  } else if (!may_answer_now(id) || !link_->ack(id.message_id)) {
    return false;
  }
  answered(id);
  return true;
}

bool ConnectionCore::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  if (may_answer_later(id)) {
    durable_.session.answers.on_nack(id.message_id, machine, human);
  } else if (!may_answer_now(id) || !link_->nack(id.message_id, machine, human)) {
    return false;
  }
  answered(id);
  return true;
}

void ConnectionCore::answered(DeliveryId id) {
  sessions_.on_answered(id.message_id);
  if (state_ == State::connected) flush_soon();
}

// An idle handle runs once before the loop would block, wherever in the turn it was started.
void ConnectionCore::flush_soon() {
  if (state_ == State::closed) return;  // the handle is being closed
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&turn_end_)) != 0) return;
  uv_idle_start(&turn_end_, [](uv_idle_t* idle) {
    uv_idle_stop(idle);
    auto* core = static_cast<ConnectionCore*>(idle->data);
    core->flush();
    core->keep();
    core->sweep_contests();
    core->report_room();
  });
}

void ConnectionCore::flush() {
  if (state_ != State::greeting && state_ != State::connected) return;
  write_output();
}

void ConnectionCore::write_output() {
  while (transport_->writable() && !link_->output().empty()) {
    const auto bytes = link_->output().unsent().substr(0, kWriteBytes);
    const auto written = transport_->write(bytes);
    if (!written) return on_end(transport_->stage(), written.error());
    link_->mark_sent(bytes.size(), now_ms());
  }
  if (state_ == State::connected && link_->wants_input()) transport_->resume_input();
  if (state_ == State::connected && place_.watched) arm_sooner();
}

// ---- the end ----

void ConnectionCore::close() {
  if (over()) return;
  const bool speaking = state_ == State::connected;
  if (speaking) sessions_.on_lost();
  if (speaking && !sessions_.may_keep(durable_))
    link_->say_goodbye(protocol::GoodbyeReason::shutdown);
  state_ = State::finishing;
  end_contests();
  uv_idle_stop(&turn_end_);
  if (link_) link_->end();
  if (!speaking) {
    transport_.reset();
    arm(0);
  } else {
    arm(kFinishMs);
    on_writable();
  }
  enter(ConnectionState::closed, "closed by its user");
}

void ConnectionCore::on_writable() {
  if (state_ != State::finishing) return flush();
  write_output();
  if (transport_ != nullptr && link_->output().empty()) transport_->finish();
}

void ConnectionCore::abandon() {
  listener_ = nullptr;
  abandoned_ = true;
  if (link_) link_->end();
  if (open_handles_ == 0) {
    delete this;
    return;
  }
  finish_closing();
}

void ConnectionCore::finish_closing() {
  if (state_ == State::closed) return;
  end_contests();
  transport_.reset();
  if (listener_ != nullptr && outbox_.keeps()) {
    keep();  // the last of it; on_kept comes back
    if (outbox_.behind()) return;
  }
  const auto saved = [this](const std::string& problem) {
    report_not_kept(problem);
    finish_closing();
  };
  if (listener_ != nullptr && sessions_.save(durable_, outbox_.keeps(), saved)) return;
  state_ = State::closed;
  const auto closed = [](uv_handle_t* handle) {
    static_cast<ConnectionCore*>(handle->data)->release();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&age_timer_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&reminder_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&outbox_timer_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&contest_timer_), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&turn_end_), closed);
  report_unreplied();
  give_up_the_rest(DropReason::closed);
}

void ConnectionCore::release() {
  if (--open_handles_ > 0) return;
  if (abandoned_) {
    delete this;
    return;
  }
  listener_->on_closed();  // may destroy the facade, and with it this core
}

}  // namespace sink::client
