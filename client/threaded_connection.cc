// Implements threaded_connection.h. Callers leave what they want under the mutex and wake the loop;
// take_over() gives it to the connection, on the thread.
#include "client/threaded_connection.h"

#include <csignal>
#include <system_error>
#include <utility>

namespace sink::client {

ThreadedConnection::ThreadedConnection(Options options, std::shared_ptr<Persistence> persistence,
                                       Listener& listener)
    : listener_(listener), events_max_(options.queue_events), bytes_max_(options.queue_bytes) {
  const int status = uv_loop_init(&loop_);
  if (status != 0) {
    failure_ = std::string("cannot make a loop: ") + uv_strerror(status);
    state_ = ConnectionState::failed;
    deaf_ = true;
    return;
  }
  uv_async_init(&loop_, &wake_, [](uv_async_t* async) {
    static_cast<ThreadedConnection*>(async->data)->take_over();
  });
  wake_.data = this;
  connection_ = std::make_unique<Connection>(&loop_, std::move(options), std::move(persistence),
                                             static_cast<Listener&>(*this));
}

ThreadedConnection::~ThreadedConnection() {
  if (!failure_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    end_wanted_ = true;
    wake();
  }
  if (thread_.joinable()) {
    thread_.join();
  } else {
    uv_run(&loop_, UV_RUN_DEFAULT);
  }
  uv_loop_close(&loop_);
}

tl::expected<void, std::string> ThreadedConnection::start() {
  if (!failure_.empty()) return tl::unexpected(failure_);
  if (thread_.joinable()) return {};
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return tl::unexpected(std::string("cannot start a thread: ") + error.what());
  }
  return {};
}

void ThreadedConnection::run() {
  sigset_t all;
  sigfillset(&all);  // signals are the user's; a broken pipe is an error of the write
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  connection_->start();
  uv_run(&loop_, UV_RUN_DEFAULT);
}

PublishResult ThreadedConnection::publish(const protocol::EventView& event, uint64_t tag) {
  if (!protocol::event_fits(protocol::event_bytes(event))) return PublishResult::too_large;
  Handed handed{tag, {}};
  protocol::append_event(handed.payload, event);
  const std::lock_guard lock(mutex_);
  if (ended() || close_wanted_) return PublishResult::closed;
  if (events_.size() >= events_max_ || bytes_ >= bytes_max_) {
    room_wanted_ = true;
    return PublishResult::queue_full;
  }
  bytes_ += handed.payload.size();
  events_.push_back(std::move(handed));
  ++unreported_;
  if (events_.size() == 1) wake();
  return PublishResult::queued;
}

bool ThreadedConnection::ack(DeliveryId id) {
  const std::lock_guard lock(mutex_);
  if (ended()) return false;
  answers_.push_back({id, std::nullopt, {}});
  if (answers_.size() == 1) wake();
  return true;
}

bool ThreadedConnection::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  const std::lock_guard lock(mutex_);
  if (ended()) return false;
  answers_.push_back({id, std::string(machine), std::string(human)});
  if (answers_.size() == 1) wake();
  return true;
}

bool ThreadedConnection::request(protocol::ControlRequest request, uint64_t tag) {
  const std::lock_guard lock(mutex_);
  if (ended() || requests_.size() == kRequestsMax) return false;
  requests_.push_back({std::move(request), tag});
  if (requests_.size() == 1) wake();
  return true;
}

bool ThreadedConnection::expose(protocol::Expose offer) {
  const std::lock_guard lock(mutex_);
  if (ended() || services_.size() == ServiceOffers::kOffersMax) return false;
  std::string name = offer.name;
  services_.push_back({std::move(offer), std::move(name)});
  if (services_.size() == 1) wake();
  return true;
}

bool ThreadedConnection::withdraw(std::string name) {
  const std::lock_guard lock(mutex_);
  if (ended() || services_.size() == ServiceOffers::kOffersMax) return false;
  services_.push_back({std::nullopt, std::move(name)});
  if (services_.size() == 1) wake();
  return true;
}

void ThreadedConnection::remind() {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(reminder_wanted_, true)) wake();
}

void ThreadedConnection::close() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(close_wanted_, true)) return;
  wake();
}

size_t ThreadedConnection::unanswered() const {
  const std::lock_guard lock(mutex_);
  return unreported_;
}

Counters ThreadedConnection::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

// ---- on the thread ----

void ThreadedConnection::take_over() {
  bool reminder_wanted = false;
  bool close_wanted = false;
  {
    const std::lock_guard lock(mutex_);
    if (end_wanted_) {
      connection_.reset();
      deaf_ = true;
      return uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
    }
    reminder_wanted = std::exchange(reminder_wanted_, false);
    close_wanted = close_wanted_;
  }
  if (reminder_wanted) listener_.on_reminded();
  take_over_answers();
  take_over_requests();
  take_over_services();
  take_over_events();
  if (close_wanted) connection_->close();
}

void ThreadedConnection::take_over_answers() {
  std::vector<HandedAnswer> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (const HandedAnswer& answer : answers) {
    if (answer.machine) {
      connection_->nack(answer.id, *answer.machine, answer.human);
    } else {
      connection_->ack(answer.id);
    }
  }
}

void ThreadedConnection::take_over_requests() {
  std::vector<HandedRequest> requests;
  {
    const std::lock_guard lock(mutex_);
    requests.swap(requests_);
  }
  for (const auto& [request, tag] : requests)
    if (!connection_->request(request, tag)) listener_.on_reply({tag, nullptr});
}

void ThreadedConnection::take_over_services() {
  std::vector<HandedService> services;
  {
    const std::lock_guard lock(mutex_);
    services.swap(services_);
  }
  for (HandedService& service : services) {
    if (service.offer) {
      connection_->expose(std::move(*service.offer));
    } else {
      connection_->withdraw(service.name);
    }
  }
}

// Events that the connection has no room for stay; on_room comes back for them. One turn takes what
// there is when it begins: a user that publishes again what was dropped does not stop the loop.
void ThreadedConnection::take_over_events() {
  std::unique_lock lock(mutex_);
  bool taken = true;
  for (size_t left = events_.size(); taken && left > 0; --left) {
    Handed next = std::move(events_.front());
    events_.pop_front();
    bytes_ -= next.payload.size();
    lock.unlock();
    const auto event = protocol::decode_event(next.payload);
    taken = event && connection_->publish(*event, next.tag) == PublishResult::queued;
    lock.lock();
    if (taken) continue;
    bytes_ += next.payload.size();
    events_.push_front(std::move(next));
  }
  if (taken && !events_.empty()) wake();
  const bool room = room_wanted_ && !ended() && events_.size() < events_max_ && bytes_ < bytes_max_;
  if (room) room_wanted_ = false;
  lock.unlock();
  if (room) listener_.on_room();
  if (ended()) drop_handed();
}

// The connection takes no more: what was on its way to it never came to be sent.
void ThreadedConnection::drop_handed() {
  std::deque<Handed> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
    bytes_ = 0;
  }
  if (events.empty()) return;
  std::vector<DroppedEvent> dropped;
  for (const Handed& event : events) dropped.push_back({event.tag, false, event.payload});
  reported(dropped.size());
  const bool failed = state_ == ConnectionState::failed;
  listener_.on_dropped({failed ? DropReason::failed : DropReason::closed, dropped});
}

void ThreadedConnection::on_state(const StateChange& change) {
  {
    const std::lock_guard lock(mutex_);  // whoever saw another state has handed over by now
    state_ = change.to;
    counters_ = connection_->counters();
  }
  listener_.on_state(change);
  uv_async_send(&wake_);  // what it had no room for may be taken or given up now
}

void ThreadedConnection::on_link(const LinkChange& change) {
  listener_.on_link(change);
  uv_async_send(&wake_);  // likewise
}

void ThreadedConnection::on_answer(const Answer& answer) {
  reported(1);
  listener_.on_answer(answer);
}

void ThreadedConnection::on_dropped(const Dropped& dropped) {
  reported(dropped.events.size());
  listener_.on_dropped(dropped);
}

void ThreadedConnection::on_closed() {
  take_over_requests();  // to a connection that takes none any more
  drop_handed();
  {
    const std::lock_guard lock(mutex_);
    deaf_ = true;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
  listener_.on_closed();
}

void ThreadedConnection::on_delivery(const Delivery& delivery) {
  reported(0);
  listener_.on_delivery(delivery);
}

void ThreadedConnection::wake() {
  if (!deaf_) uv_async_send(&wake_);
}

void ThreadedConnection::reported(size_t events) {
  const std::lock_guard lock(mutex_);
  unreported_ -= events;
  counters_ = connection_->counters();
}

}  // namespace sink::client
