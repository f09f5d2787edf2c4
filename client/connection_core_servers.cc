// The connection's servers where there are several: whom it turns to, who may call, and who wins.
#include <utility>

#include "client/connection_core.h"
#include "client/refusal_words.h"

namespace sink::client {

// ---- servers that call ----

bool ConnectionCore::receive_callers() {
  if (!options_.listen) return true;
  reception_ = std::make_unique<Reception>(
      loop_, options_.tls, servers_.certificate_names(),
      [this](size_t server, std::unique_ptr<Transport> transport) {
        on_called(server, std::move(transport));
      });
  const auto listening = reception_->listen(*options_.listen);
  if (listening) return true;
  enter_failed(listening.error());
  give_up_the_rest(DropReason::failed);
  return false;
}

void ConnectionCore::await_call(const std::string& reason) {
  state_ = State::listening;
  uv_timer_stop(&timer_);
  enter(ConnectionState::disconnected, reason);
}

void ConnectionCore::on_called(size_t server, std::unique_ptr<Transport> transport) {
  switch (state_) {
    case State::listening:
    case State::waiting:
    case State::opening:
      return take_call(server, std::move(transport));
    case State::connected:
      if (server != present()) break;
      leave_link();
      if (state_ == State::connected)
        go_on_with(std::move(transport), "the server has called anew");
      return;
    case State::greeting:
    case State::saving:
      if (server != present()) break;
      return;  // it is being met already; it calls again
    case State::idle:
    case State::loading:
    case State::failed:
    case State::finishing:
    case State::closed:
      return;
  }
  begin_contest(std::make_unique<Candidate>(loop_, server,
                                            servers_.identity_for(server, identity_),
                                            link_options(), std::move(transport), *this));
}

void ConnectionCore::take_call(size_t server, std::unique_ptr<Transport> transport) {
  turn_to(server);
  go_on_with(std::move(transport), "a server has called");
}

void ConnectionCore::go_on_with(std::unique_ptr<Transport> transport, protocol::Bytes reason) {
  transport_ = std::move(transport);
  transport_->hand_over(*this);
  link_.reset();
  goodbye_.clear();
  ++attempts_;
  state_ = State::opening;
  arm(options_.connect_timeout_ms);
  enter(was_connected_ ? ConnectionState::reconnecting : ConnectionState::connecting,
        reason);
  if (state_ == State::opening) on_open();
}

// ---- two servers ----

// One at a time; who comes meanwhile is turned away, and comes again.
void ConnectionCore::begin_contest(std::unique_ptr<Candidate> candidate) {
  sweep_contests();
  if (candidate_ != nullptr) return;
  candidate_ = std::move(candidate);
  ++contests_;
  arm_contest();
  candidate_->begin();
}

uint8_t ConnectionCore::candidate_version(size_t server) {
  const uint8_t version = servers_.version(server).to_ask(now_ms());
  servers_.version(server).on_asked(version);
  return version;
}

void ConnectionCore::on_candidate_heard(size_t server) {
  if (servers_.version(server).on_heard(now_ms()) && listener_ != nullptr)
    listener_->on_fallback();
}

// Where the present one saves its own at the same time, this waits: the keeper takes turns.
void ConnectionCore::save_candidate(size_t server, uint32_t server_id) {
  Identity identity = identity_;
  servers_.note_id(server, server_id, identity);
  const uint64_t contest = contests_;
  keeper_.save(identity, [=, this](const tl::expected<Identity, std::string>& saved) {
    if (saved) servers_.note_id(server, server_id, identity_);
    if (candidate_ == nullptr || candidate_->over() || contests_ != contest) return;
    if (!saved) {
      candidate_->cancel();
      return report_contest(server, ContestOutcome::lost, saved.error());
    }
    candidate_->saved();
  });
}

void ConnectionCore::on_candidate_ready(HandshakeDone done) {
  const size_t server = candidate_->server();
  const Verdict verdict = servers_.judge(server, done.reason, state_ == State::connected);
  if (verdict == Verdict::newcomer) return switch_to(done);
  const auto link = candidate_->take_link();
  say_farewell(candidate_->take_transport(), *link);
  arm_contest();
  report_contest(server, ContestOutcome::turned_away, "the present server has the older right");
}

void ConnectionCore::switch_to(const HandshakeDone& done) {
  const size_t server = candidate_->server();
  auto link = candidate_->take_link();
  auto transport = candidate_->take_transport();
  if (state_ == State::connected) {
    sessions_.on_lost();
    say_farewell(std::move(transport_), *link_);
  }
  if (successor_) successor_->cancel();
  transport_.reset();
  if (link_) link_->end();
  state_ = State::waiting;
  uv_timer_stop(&timer_);
  const bool delivers = done.reason == protocol::ConnectionReason::delivery;
  const std::string reason =
      servers_.key(server) + (delivers ? " takes over: it has events for us" : " takes over");
  report_unreplied();
  enter(ConnectionState::reconnecting, reason);
  report_contest(server, ContestOutcome::took_over, reason);
  if (state_ != State::waiting) return;  // closed meanwhile
  turn_to(server);
  link->move_to(durable_);
  ++durable_.counters.handshakes;
  transport_ = std::move(transport);
  transport_->hand_over(*this);
  link_ = std::move(link);
  report_connected(done);
  if (state_ == State::connected) process_input();  // what came behind the handshake
}

void ConnectionCore::say_farewell(std::unique_ptr<Transport> transport, Link& link) {
  link.say_goodbye(protocol::GoodbyeReason::another_server);
  farewells_.push_back(std::make_unique<Farewell>(
      loop_, std::move(transport), std::string(link.output().unsent()), [this] { flush_soon(); }));
  link.end();
}

void ConnectionCore::on_candidate_refused(size_t server, const LinkRefused& refusal) {
  if (refusal.code == protocol::ResponseCode::unsupported_protocol_version &&
      servers_.version(server).on_unsupported(now_ms()) && listener_ != nullptr)
    listener_->on_fallback();
  servers_.hold_back(server, now_ms() + refusal.retry_after_ms);
  report_contest(server, ContestOutcome::refused, summary(refusal));
}

void ConnectionCore::on_candidate_lost() {
  servers_.version(candidate_->server()).on_ended();
  report_contest(candidate_->server(), ContestOutcome::lost, "its connection ended");
}

void ConnectionCore::report_contest(size_t server, ContestOutcome outcome,
                                    protocol::Bytes reason) {
  flush_soon();  // sweeps
  if (listener_ != nullptr) listener_->on_contest({servers_.key(server), outcome, reason});
}

// The next one in their order beside the present one, whether it has something for us.
void ConnectionCore::look_around() {
  const auto server = servers_.look_around(now_ms());
  if (!server) return arm_contest();
  begin_contest(std::make_unique<Candidate>(
      loop_, *server, servers_.identity_for(*server, identity_), link_options(),
      Transport::Target{servers_.endpoint(*server), options_.tls, servers_.name(*server),
                        servers_.next_address(*server)},
      *this));
}

// One timer: for the candidate's patience, or until the next look around.
void ConnectionCore::arm_contest() {
  uv_timer_stop(&contest_timer_);
  const bool contest = candidate_ != nullptr && !candidate_->over();
  const bool looks = state_ == State::connected && options_.look_around_ms > 0;
  if (!contest && !looks) return;
  uv_timer_start(
      &contest_timer_,
      [](uv_timer_t* timer) { static_cast<ConnectionCore*>(timer->data)->on_contest_due(); },
      contest ? options_.connect_timeout_ms : options_.look_around_ms, 0);
}

void ConnectionCore::on_contest_due() {
  if (candidate_ == nullptr || candidate_->over()) {
    if (state_ == State::connected) look_around();
    return;
  }
  const size_t server = candidate_->server();
  candidate_->cancel();
  arm_contest();
  report_contest(server, ContestOutcome::lost, "no answer in time");
}

// Safe from within any callback: what is in one stays until it is swept away, or with the core.
void ConnectionCore::end_contests() {
  uv_timer_stop(&contest_timer_);
  reception_.reset();
  if (candidate_) candidate_->cancel();
  if (successor_) successor_->cancel();
  farewells_.clear();
}

void ConnectionCore::sweep_contests() {
  std::erase_if(farewells_, [](const auto& farewell) { return farewell->over(); });
  if (candidate_ == nullptr || !candidate_->over()) return;
  candidate_.reset();
  arm_contest();
}

}  // namespace sink::client
