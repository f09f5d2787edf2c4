#include "daemon/net/server.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace sink::net {
namespace {

constexpr uint64_t kUnprovenPatienceMs = 1'000;  // an unproven connection this old makes room

}  // namespace

Server::Server(uv_loop_t* loop)
    : loop_(loop),
      receive_buffer_(std::make_unique<std::array<char, 256 * 1024>>()),
      plaintext_buffer_(std::make_unique<std::array<char, 64 * 1024>>()) {
  uv_prepare_init(loop_, &prepare_);
  uv_timer_init(loop_, &timer_);
  uv_idle_init(loop_, &idle_);
  prepare_.data = timer_.data = idle_.data = this;
}

Server::~Server() = default;

void Server::start() {
  started_ = true;
  uv_prepare_start(&prepare_, on_prepare);
}

uint64_t Server::wall_ms() const {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

void Server::read_clock() {
  broker_->set_time({uv_now(loop_), wall_ms(), uv_hrtime() / 1'000});
}

// ---- the round of the loop -------------------------------------------------------------------

void Server::on_prepare(uv_prepare_t* handle) { static_cast<Server*>(handle->data)->round(); }

void Server::round() {
  ++counters_.loop_rounds;
  read_clock();
  run_deadlines();
  more_to_do_ = broker_->turn();
  flush_dirty();
  if (outbound_ != nullptr && outbound_->flush()) more_to_do_ = true;
  if (caller_ != nullptr && caller_->flush()) more_to_do_ = true;
  if (on_round) on_round();
  arm_timer();
}

// The broker may mark more connections while some are written; those are written in this round too.
void Server::flush_dirty() {
  for (size_t i = 0; i < dirty_.size(); ++i) {
    Connection* connection = dirty_[i];
    if (connection == nullptr) continue;
    connection->dirty = false;
    connection->flush();
  }
  dirty_.clear();
}

void Server::arm_timer() {
  if (!started_) return;
  if (more_to_do_ || std::exchange(wake_wanted_, false) || !dirty_.empty()) {
    uv_idle_start(&idle_, on_idle);
    return;
  }
  uv_idle_stop(&idle_);
  auto deadline = broker_->deadline_ms();
  if (!deadlines_.empty())
    deadline = std::min(deadline.value_or(UINT64_MAX), deadlines_.begin()->first);
  if (const auto outbound = outbound_ != nullptr ? outbound_->deadline_ms() : std::nullopt)
    deadline = std::min(deadline.value_or(UINT64_MAX), *outbound);
  if (const auto calls = caller_ != nullptr ? caller_->deadline_ms() : std::nullopt)
    deadline = std::min(deadline.value_or(UINT64_MAX), *calls);
  if (!deadline) {
    uv_timer_stop(&timer_);
    return;
  }
  const uint64_t now = uv_now(loop_);
  uv_timer_start(&timer_, on_timer, *deadline > now ? *deadline - now : 0, 0);
}

void Server::wake() {
  wake_wanted_ = true;
  if (started_) uv_timer_start(&timer_, on_timer, 0, 0);
}

void Server::run_deadlines() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ms())
    deadlines_.begin()->second->on_deadline();
}

void Server::move_deadline(Connection& connection, uint64_t from_ms, uint64_t to_ms) {
  if (from_ms != 0) deadlines_.erase({from_ms, &connection});
  if (to_ms != 0) deadlines_.emplace(to_ms, &connection);
}

// ---- connections -----------------------------------------------------------------------------

void Server::accept(Listener& listener, int socket, const std::string& called) {
  ++counters_.accepted;
  read_clock();
  auto* connection = new Connection(*this, listener);
  connections_.insert(connection);
  ++unproven_;
  const bool room = connections_.size() <= limits_.connections && make_room();
  if (!connection->accept(socket, listener.is_pipe(), called)) return connection->close_now();
  if (room) return;
  ++counters_.refused_full;
  refused(connection->address(), "too many connections");
  connection->close_now();
}

// Room among the unproven: the oldest goes if it has had time enough to prove itself.
bool Server::make_room() {
  if (unproven_ <= limits_.connections_unauthenticated) return true;
  for (const auto& [deadline, connection] : deadlines_) {
    const auto state = connection->state();
    if (state != Connection::State::handshaking && state != Connection::State::unproven) continue;
    if (deadline > now_ms() + 5'000 - kUnprovenPatienceMs) return false;
    ++counters_.timed_out;
    connection->close_now();
    return true;
  }
  return false;
}

void Server::refused(const std::string& address, const std::string& reason) {
  ++counters_.refused_tls;
  if (on_refused) on_refused(address, reason);
}

Connection* Server::find(broker::ConnectionId id) {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= by_slot_.size() || by_slot_[slot] == nullptr || by_slot_[slot]->id() != id)
    return nullptr;
  return by_slot_[slot];
}

void Server::attach(Connection& connection) {
  const auto slot = static_cast<uint32_t>(connection.id());
  if (slot >= by_slot_.size()) by_slot_.resize(slot + 1);
  by_slot_[slot] = &connection;
}

void Server::detach(Connection& connection) {
  const auto slot = static_cast<uint32_t>(connection.id());
  if (by_slot_[slot] == &connection) by_slot_[slot] = nullptr;
}

void Server::proved(Connection&) { --unproven_; }

void Server::leaving(Connection& connection) {
  if (!connection.proven()) --unproven_;
}

void Server::freed(Connection& connection) {
  for (Connection*& dirty : dirty_)
    if (dirty == &connection) dirty = nullptr;
  connections_.erase(&connection);
  if (started_ && !connection.called().empty())
    end_call(connection.called(), connection.end_reason());
  delete &connection;
}

void Server::mark_dirty(Connection& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(&connection);
}

void Server::output_ready(broker::ConnectionId id) {
  if (Connection* connection = find(id)) return mark_dirty(*connection);
  if (outbound_ != nullptr) outbound_->output_ready(id);
}

void Server::close(broker::ConnectionId id, broker::CloseReason reason) {
  if (Connection* connection = find(id)) return connection->begin_close();
  if (outbound_ != nullptr) outbound_->close(id, reason);
}

void Server::resume_input(broker::ConnectionId id) {
  if (Connection* connection = find(id)) return connection->resume_input();
  if (outbound_ != nullptr) outbound_->resume_input(id);
}

void Server::sent_some(broker::ConnectionId id) {
  broker_->on_writable(id);
  more_to_do_ = true;
}

// It speaks with the certificate of one listener: the first that has one, if none is named.
void Server::take_call(const broker::DialSpec& dial, int socket) {
  for (const auto& listener : listeners_)
    if (listener->context() &&
        (dial.listener.empty() || listener->settings().address == dial.listener))
      return accept(*listener, socket, dial.client);
  ::close(socket);
  end_call(dial.client, "there is no [[listener]] with certificates to speak for it");
}

void Server::end_call(const std::string& client, const std::string& reason) {
  read_clock();
  broker_->call_ended(client, reason);
}

// ---- listeners -------------------------------------------------------------------------------

tl::expected<void, ListenError> Server::listen(const std::vector<config::Listener>& listeners,
                                               const std::vector<int>& inherited) {
  for (size_t i = 0; i < listeners.size(); ++i) {
    auto listener = std::make_unique<Listener>(*this, listeners[i]);
    auto context = listener->load_context(listeners[i]);
    if (!context) return tl::unexpected(context.error());
    listener->use(listeners[i], *context);
    const int fd = i < inherited.size() ? inherited[i] : -1;
    listeners_.push_back(std::move(listener));
    if (auto done = listeners_.back()->listen(fd); !done) return done;
  }
  return {};
}

tl::expected<void, ListenError> Server::check(const std::vector<config::Listener>& listeners) {
  for (const config::Listener& settings : listeners) {
    const Listener probe(*this, settings);
    if (auto context = probe.load_context(settings); !context)
      return tl::unexpected(context.error());
  }
  return {};
}

tl::expected<void, ListenError> Server::reload(const std::vector<config::Listener>& listeners) {
  std::vector<std::shared_ptr<const tls::ServerContext>> contexts;
  std::vector<const config::Listener*> settings;
  for (const auto& listener : listeners_) {
    const auto same = std::find_if(
        listeners.begin(), listeners.end(),
        [&](const config::Listener& l) { return l.address == listener->settings().address; });
    settings.push_back(same == listeners.end() ? &listener->settings() : &*same);
    auto context = listener->load_context(*settings.back());
    if (!context) return tl::unexpected(context.error());
    contexts.push_back(std::move(*context));
  }
  for (size_t i = 0; i < listeners_.size(); ++i)
    listeners_[i]->use(config::Listener(*settings[i]), contexts[i]);
  close_invalid_certificates();
  return {};
}

void Server::close_invalid_certificates() {
  const uint64_t now = wall_ms();
  read_clock();
  for (Connection* connection : connections_)
    if (connection->id() != 0 && !connection->certificate_still_good(now))
      broker_->close(connection->id(), broker::CloseReason::revoked);
}

void Server::stop_listening() {
  for (auto& listener : listeners_) listener->close();
  std::move(listeners_.begin(), listeners_.end(), std::back_inserter(retired_));
  listeners_.clear();
}

void Server::close() {
  stop_listening();
  for (Connection* connection : std::vector<Connection*>(connections_.begin(), connections_.end()))
    connection->close_now();
  started_ = false;
  for (uv_handle_t* handle : {reinterpret_cast<uv_handle_t*>(&prepare_),
                              reinterpret_cast<uv_handle_t*>(&timer_),
                              reinterpret_cast<uv_handle_t*>(&idle_)})
    uv_close(handle, nullptr);
}

}  // namespace sink::net
