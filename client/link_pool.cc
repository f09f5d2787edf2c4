#include "client/link_pool.h"

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

namespace sink::client {
namespace {

constexpr uint64_t kRecycleRetryMs = 10'000;  // not all links are up
constexpr uint64_t kJitterPercent = 20;

uint64_t hash_of(const protocol::EventView& event) {
  return std::hash<protocol::Bytes>()(event.key) + event.event_type_id * 31;
}

uint64_t hash_of(protocol::Bytes payload) {
  const auto event = protocol::decode_event(payload);
  return event ? hash_of(*event) : 0;  // unreached: publish() has encoded it
}

uint64_t jittered(uint64_t ms) {
  static thread_local std::random_device device;
  const uint64_t jitter = ms * kJitterPercent / 100;
  return jitter == 0 ? ms : ms - jitter + device() % (2 * jitter);
}

struct Abandon {
  void operator()(ConnectionCore* core) const { core->abandon(); }
};

}  // namespace

struct LinkPool::Clock {
  uv_timer_t timer{};
  LinkPool* pool = nullptr;  // null: gone
};

// One link: hears what its core tells. Whatever calls the user comes last, for it may destroy all.
class LinkPool::Member final : public Listener {
 public:
  Member(LinkPool& pool, uint8_t number) : pool_(pool), number_(number) {}

  void on_state(const StateChange& change) override;
  void on_connected(const Connected& connected) override;
  void on_answer(const Answer& answer) override;
  void on_dropped(const Dropped& dropped) override;
  void on_delivery(const Delivery& delivery) override;
  void on_closed() override;
  void on_room() override { pool_.user_.on_room(); }
  void on_channel_opened(const protocol::ChannelInfo& channel) override {
    pool_.user_.on_channel_opened(channel);
  }
  void on_channel_closed(const protocol::ChannelClosed& channel) override {
    pool_.user_.on_channel_closed(channel);
  }
  // Of the others, which do not ask, expose or choose a server, these never come or say what the
  // first says as well.
  void on_disconnected(const Disconnection& end) override {
    if (is_first()) pool_.user_.on_disconnected(end);
  }
  void on_refused(const Refusal& refusal) override {
    if (is_first()) pool_.user_.on_refused(refusal);
  }
  void on_contest(const Contest& contest) override { pool_.user_.on_contest(contest); }
  void on_fallback() override { pool_.user_.on_fallback(); }
  void on_session_not_kept(protocol::Bytes problem) override {
    pool_.user_.on_session_not_kept(problem);
  }
  void on_reply(const Reply& reply) override { pool_.user_.on_reply(reply); }
  void on_service(const ServiceNotice& notice) override { pool_.user_.on_service(notice); }
  void on_reminded() override { pool_.user_.on_reminded(); }

  uint8_t number() const { return number_; }
  bool is_first() const { return number_ == 0; }
  bool is_up() const { return core->public_state() == ConnectionState::connected; }
  size_t unanswered() const { return core->durable().queue.size(); }
  // When its session is over on the server's side; nullopt: it is up, or has nothing to lose.
  // Nor can it leave anything while the first is not up either.
  std::optional<uint64_t> over_ms() const {
    if (is_first() || is_up() || !pool_.is_up(0) || unanswered() == 0) return std::nullopt;
    return changed_ms_ + core->durable().session.ttl_ms;
  }
  LinkStatus status(uint64_t now_ms) const;

  ConnectionCore* core = nullptr;
  std::unique_ptr<ConnectionCore, Abandon> owned;  // but for the first
  uint32_t connection = 0;    // as the user's DeliveryId has it,
  uint32_t core_session = 0;  // and as the core has
  bool is_retired = false;    // it tells nothing any more but that it has closed

 private:
  LinkPool& pool_;
  const uint8_t number_;
  uint64_t changed_ms_ = 0;  // came up, or went down
};

void LinkPool::Member::on_state(const StateChange& change) {
  LinkPool& pool = pool_;
  if (is_retired) return;
  const bool up = change.to == ConnectionState::connected;
  const bool changes = up || change.from == ConnectionState::connected;
  if (changes) changed_ms_ = uv_now(pool.loop_);
  if (is_first() && change.to == ConnectionState::failed) {
    pool.retire_from(1);
    pool.recycle_at_ms_ = 0;
  }
  pool.arm();
  if (is_first()) return pool.user_.on_state(change);
  if (changes) pool.user_.on_link({number_, up, change.reason});
}

void LinkPool::Member::on_connected(const Connected& connected) {
  if (!is_first()) return;
  pool_.open_links(connected);
  pool_.user_.on_connected(connected);
}

void LinkPool::Member::on_answer(const Answer& answer) {
  pool_.slots_.on_over(hash_of(answer.payload));
  pool_.user_.on_answer(answer);
}

void LinkPool::Member::on_dropped(const Dropped& dropped) {
  for (const DroppedEvent& event : dropped.events) pool_.slots_.on_over(hash_of(event.payload));
  pool_.user_.on_dropped(dropped);
}

void LinkPool::Member::on_delivery(const Delivery& delivery) {
  if (connection == 0 || core_session != delivery.id.connection) {
    connection = ++pool_.connections_;
    core_session = delivery.id.connection;
  }
  Delivery numbered = delivery;
  numbered.id.connection = connection;
  if (!is_first()) pool_.members_[0]->core->note_delivery(pool_.server_key_);
  pool_.user_.on_delivery(numbered);
}

void LinkPool::Member::on_closed() {
  LinkPool& pool = pool_;
  if (is_first()) {
    pool.first_closed_ = true;
  } else {
    pool.forget(*this);  // which is no more
  }
  if (pool.first_closed_ && pool.retired_.empty()) pool.user_.on_closed();
}

LinkStatus LinkPool::Member::status(uint64_t now_ms) const {
  LinkStatus status;
  status.number = number_;
  status.state = core->public_state();
  status.since_ms = changed_ms_ == 0 ? 0 : now_ms - changed_ms_;
  status.resumed = core->durable().counters.resumed;
  status.in_flight = core->durable().session.window.size();
  status.unanswered = unanswered();
  if (const auto* health = is_up() ? core->health() : nullptr) {
    status.median_us = health->median_us();
    status.worst_us = health->worst_us();
  }
  return status;
}

// ---- the links -------------------------------------------------------------------------------

LinkPool::LinkPool(uv_loop_t* loop, const Options& options, Listener& user)
    : loop_(loop), options_(options), user_(user), clock_(new Clock{{}, this}) {
  uv_timer_init(loop, &clock_->timer);  // cannot fail
  clock_->timer.data = clock_;
  members_[0] = std::make_unique<Member>(*this, 0);
  slots_.begin(true);
}

LinkPool::~LinkPool() { stop_clock(); }

void LinkPool::stop_clock() {
  if (clock_ == nullptr) return;
  Clock* clock = std::exchange(clock_, nullptr);
  clock->pool = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&clock->timer),
           [](uv_handle_t* handle) { delete static_cast<Clock*>(handle->data); });
}

Listener& LinkPool::listener_of_first() { return *members_[0]; }
void LinkPool::set_first(ConnectionCore& first) { members_[0]->core = &first; }

// The others are to be where the first is now.
void LinkPool::open_links(const Connected& connected) {
  const auto server = members_[0]->core->reached();
  const bool is_same = server && connected.server == server_key_ &&
                       connected.server_instance_id == server_id_;
  wanted_ = server ? std::min(options_.links, connected.links) : 1u;
  retire_from(is_same ? wanted_ : 1);
  if (!server) return;
  server_key_ = connected.server;
  server_id_ = connected.server_instance_id;
  for (size_t number = 1; number < wanted_; ++number) {
    if (members_[number] == nullptr) {
      open_link(static_cast<uint8_t>(number), *server);
    } else {
      members_[number]->core->aim_at(server->endpoint);
    }
  }
  if (wanted_ > 1 && recycle_at_ms_ == 0 && options_.recycle_ms > 0)
    recycle_at_ms_ = uv_now(loop_) + jittered(options_.recycle_ms);
  arm();
}

void LinkPool::open_link(uint8_t number, const KnownServer& server) {
  Options options = options_;
  options.server = server.endpoint;
  options.server_name = server.name;
  options.more_servers.clear();
  options.listen.reset();
  options.look_around_ms = 0;
  options.keep_session = false;
  options.backoff.attempts_max = 0;
  Identity identity = members_[0]->core->durable().identity;
  identity.more_servers.clear();
  members_[number] = std::make_unique<Member>(*this, number);
  Member& member = *members_[number];
  member.owned.reset(new ConnectionCore(loop_, std::move(options),
                                        std::make_shared<MemoryPersistence>(identity), member,
                                        PoolPlace{number, true}));
  member.core = member.owned.get();
  member.core->start();
}

void LinkPool::retire_from(size_t number) {
  for (; number < members_.size(); ++number) {
    if (members_[number] == nullptr) continue;
    leave_events(*members_[number]);
    retire(members_[number]);
  }
}

void LinkPool::retire(std::unique_ptr<Member>& member) {
  member->is_retired = true;
  retired_.push_back(std::move(member));
  retired_.back()->core->close();
}

void LinkPool::forget(Member& member) {
  past_ += member.core->durable().counters;
  std::erase_if(retired_, [&](const auto& each) { return each.get() == &member; });
}

// What it has no answer to goes over the first from now on.
void LinkPool::leave_events(Member& member) {
  members_[0]->core->take_over(member.core->take_back());
  slots_.move(member.number(), 0);
}

// ---- events ----------------------------------------------------------------------------------

bool LinkPool::is_up(size_t number) const {
  return members_[number] != nullptr && members_[number]->is_up();
}

uint8_t LinkPool::link_for(uint64_t key) const {
  return slots_.choose(key, wanted_, [this](size_t link) { return is_up(link); }).value_or(0);
}

// What a full link drops is told from within: it takes nothing meanwhile, and nor do the others,
// for the event on its way may have the same key.
PublishResult LinkPool::publish(const protocol::EventView& event, uint64_t tag) {
  if (publishing_)
    return closing_ ? PublishResult::closed : members_[*publishing_]->core->publish(event, tag);
  const uint64_t key = hash_of(event);
  const uint8_t link = link_for(key);
  const std::weak_ptr<const bool> lives = lives_;
  publishing_ = link;
  const PublishResult result = members_[link]->core->publish(event, tag);
  if (lives.expired()) return result;
  publishing_.reset();
  if (result == PublishResult::queued) slots_.on_sent(key, link);
  return result;
}

// The link that it came over, and there its own number.
LinkPool::Member* LinkPool::member_of(DeliveryId& id) {
  for (const auto& member : members_) {
    if (member == nullptr || member->connection == 0 || member->connection != id.connection)
      continue;
    id.connection = member->core_session;
    return member.get();
  }
  return nullptr;
}

bool LinkPool::ack(DeliveryId id) {
  Member* member = member_of(id);
  return member != nullptr && member->core->ack(id);
}

bool LinkPool::nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
  Member* member = member_of(id);
  return member != nullptr && member->core->nack(id, machine, human);
}

// A link that breaks is told from within, and whoever hears of it may destroy all: the cores live
// until their handles have closed.
void LinkPool::flush() {
  std::vector<ConnectionCore*> cores;
  for (const auto& member : members_)
    if (member != nullptr) cores.push_back(member->core);
  for (ConnectionCore* core : cores) core->flush();
}

void LinkPool::close() {
  if (std::exchange(closing_, true)) return;
  stop_clock();
  wanted_ = 1;
  slots_.begin(false);
  for (size_t number = 1; number < members_.size(); ++number)
    if (members_[number] != nullptr) retire(members_[number]);
  members_[0]->core->close();
}

size_t LinkPool::unanswered() const {
  size_t sum = 0;
  for (const auto& member : members_)
    if (member != nullptr) sum += member->unanswered();
  return sum;
}

const Counters& LinkPool::counters() const {
  sum_ = past_;
  for (const auto& member : members_)
    if (member != nullptr) sum_ += member->core->durable().counters;
  for (const auto& member : retired_) sum_ += member->core->durable().counters;
  return sum_;
}

std::vector<LinkStatus> LinkPool::links() const {
  std::vector<LinkStatus> all;
  for (const auto& member : members_)
    if (member != nullptr) all.push_back(member->status(uv_now(loop_)));
  return all;
}

// ---- time ------------------------------------------------------------------------------------

void LinkPool::arm() {
  if (closing_) return;
  std::optional<uint64_t> due_ms;
  if (recycle_at_ms_ != 0) due_ms = recycle_at_ms_;
  for (const auto& member : members_) {
    const auto over_ms = member != nullptr ? member->over_ms() : std::nullopt;
    if (over_ms) due_ms = std::min(due_ms.value_or(UINT64_MAX), *over_ms);
  }
  if (!due_ms) {
    uv_timer_stop(&clock_->timer);
    return;
  }
  const uint64_t now_ms = uv_now(loop_);
  uv_timer_start(
      &clock_->timer,
      [](uv_timer_t* timer) {
        if (auto* pool = static_cast<Clock*>(timer->data)->pool) pool->on_time();
      },
      std::max(*due_ms, now_ms + 1) - now_ms, 0);
}

void LinkPool::on_time() {
  const uint64_t now_ms = uv_now(loop_);
  for (const auto& member : members_) {
    const auto over_ms = member != nullptr ? member->over_ms() : std::nullopt;
    if (over_ms && *over_ms <= now_ms) leave_events(*member);
  }
  if (recycle_at_ms_ != 0 && recycle_at_ms_ <= now_ms) recycle();
  arm();
}

// The one that answers slowest, of several the oldest, is made anew; where one is not up, all wait.
void LinkPool::recycle() {
  const uint64_t now_ms = uv_now(loop_);
  Member* slowest = nullptr;
  LinkStatus worst;
  for (size_t number = 0; number < wanted_; ++number) {
    if (!is_up(number)) {
      recycle_at_ms_ = now_ms + kRecycleRetryMs;
      return;
    }
    const LinkStatus status = members_[number]->status(now_ms);
    const bool is_worse = std::pair(status.median_us, status.since_ms) >
                          std::pair(worst.median_us, worst.since_ms);
    if (slowest != nullptr && !is_worse) continue;
    slowest = members_[number].get();
    worst = status;
  }
  recycle_at_ms_ = now_ms + jittered(options_.recycle_ms);
  if (wanted_ > 1) slowest->core->renew();
}

}  // namespace sink::client
