// The facade: every call goes to the core.
#include "client/sink_client.h"

#include <utility>

#include "client/link_pool.h"

namespace sink::client {

const char* to_string(ConnectionState state) {
  switch (state) {
    case ConnectionState::disconnected:
      return "disconnected";
    case ConnectionState::connecting:
      return "connecting";
    case ConnectionState::connected:
      return "connected";
    case ConnectionState::reconnecting:
      return "reconnecting";
    case ConnectionState::failed:
      return "failed";
    case ConnectionState::closed:
      return "closed";
  }
  return "unknown";
}

const char* to_string(DropReason reason) {
  switch (reason) {
    case DropReason::overflow:
      return "overflow";
    case DropReason::aged_out:
      return "aged out";
    case DropReason::failed:
      return "failed";
    case DropReason::closed:
      return "closed";
  }
  return "unknown";
}

const char* to_string(Stage stage) {
  switch (stage) {
    case Stage::identity:
      return "identity";
    case Stage::resolving:
      return "resolving";
    case Stage::connecting:
      return "connecting";
    case Stage::securing:
      return "securing";
    case Stage::handshaking:
      return "handshaking";
    case Stage::connected:
      return "connected";
  }
  return "unknown";
}

Connection::Connection(uv_loop_t* loop, Options options, std::shared_ptr<Persistence> persistence,
                       Listener& listener) {
  if (options.links > 1) pool_ = std::make_unique<LinkPool>(loop, options, listener);
  Listener& told = pool_ ? pool_->listener_of_first() : listener;
  const PoolPlace place{0, pool_ != nullptr};
  core_ = new ConnectionCore(loop, std::move(options), std::move(persistence), told, place);
  if (pool_) pool_->set_first(*core_);
}
Connection::~Connection() {
  core_->abandon();
}
void Connection::start() {
  core_->start();
}
PublishResult Connection::publish(const protocol::EventView& event, uint64_t tag) {
  return pool_ ? pool_->publish(event, tag) : core_->publish(event, tag);
}
bool Connection::request(const protocol::ControlRequest& request, uint64_t tag) {
  return core_->request(request, tag);
}
bool Connection::expose(protocol::Expose offer) {
  return core_->expose(std::move(offer));
}
bool Connection::withdraw(const std::string& name) {
  return core_->withdraw(name);
}

bool Connection::ack(DeliveryId id) {
  return pool_ ? pool_->ack(id) : core_->ack(id);
}
bool Connection::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  return pool_ ? pool_->nack(id, machine, human) : core_->nack(id, machine, human);
}
void Connection::remind_in(uint64_t delay_ms) {
  core_->remind_in(delay_ms);
}

void Connection::flush() {
  if (pool_) return pool_->flush();
  core_->flush();
}
void Connection::close() {
  if (pool_) return pool_->close();
  core_->close();
}
ConnectionState Connection::state() const {
  return core_->public_state();
}
size_t Connection::unanswered() const {
  return pool_ ? pool_->unanswered() : core_->durable().queue.size();
}
const Counters& Connection::counters() const {
  return pool_ ? pool_->counters() : core_->durable().counters;
}
std::vector<LinkStatus> Connection::links() const {
  return pool_ ? pool_->links() : std::vector<LinkStatus>();
}
std::string Connection::listening_address() const {
  return core_->listening_address();
}
const Identity& Connection::identity() const {
  return core_->durable().identity;
}

}  // namespace sink::client
