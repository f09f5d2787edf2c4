#include "client/session_keeper.h"

#include <chrono>
#include <utility>

#include "client/stored_session.h"

namespace sink::client {
namespace {

// A client that is sent to and fro between servers wears no flash out.
constexpr uint64_t kPlaceWriteMs = 3'600'000;

uint64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

std::string unusable(const std::string& why) {
  return "the session of the earlier run is of no use: " + why + "; a new one begins";
}

// Where the clock was set back nobody knows the age: the server does.
bool too_old(const StoredSession& session) {
  const uint64_t now = wall_ms();
  return now > session.broke_at_ms && now - session.broke_at_ms > session.ttl_ms;
}

}  // namespace

void SessionKeeper::load(Done done) {
  if (!keeps_) return done({});
  store_.load_session([this, done = std::move(done)](const auto& loaded) {
    if (!loaded) return done(unusable(loaded.error()));
    if (!*loaded) return done({});
    auto record = session_record_from(**loaded);
    if (!record) return done(unusable("what was kept is damaged, " + record.error()));
    if (servers_.find(record->server))
      kept_ = place_ = {record->server, record->address, record->delivered_last};
    if (!record->session) return done({});
    write(std::nullopt, [this, done, session = std::move(*record->session)](const auto& problem) {
      if (!problem.empty())
        return done(unusable("it cannot be taken out of the store, " + problem));
      if (wanted_ && !too_old(session)) found_ = session;
      done({});
    });
  });
}

std::string SessionKeeper::restore(DurableState& durable) {
  const auto session = std::exchange(found_, std::nullopt);
  if (!session || durable.identity.server_instance_id != session->server_instance_id) return {};
  if (!restore_session(*session, durable.session, durable.queue))
    return unusable("its parts contradict each other");
  deliveries_.begin(session->received);
  broke_at_ms_ = session->broke_at_ms;
  return {};
}

void SessionKeeper::on_connected(size_t server, bool resumed, const std::string& address,
                                 uint64_t now_ms, Done done) {
  if (!resumed) deliveries_.begin({});
  place_.server = servers_.key(server);
  place_.address = address;
  write_place(now_ms, std::move(done));
}

void SessionKeeper::on_delivered(size_t server, uint16_t message_id,
                                 const protocol::Tally& received, uint64_t now_ms, Done done) {
  if (keeps_) deliveries_.on_delivered(message_id, received);
  note_delivery(server, now_ms, std::move(done));
}

void SessionKeeper::note_delivery(size_t server, uint64_t now_ms, Done done) {
  if (servers_.size() == 1) return;
  if (place_.delivered_last != servers_.key(server)) place_.delivered_last = servers_.key(server);
  write_place(now_ms, std::move(done));
}

void SessionKeeper::write_place(uint64_t now_ms, Done done) {
  if (!keeps_ || place_ == kept_ || (place_.address.empty() && place_.delivered_last.empty()))
    return;
  if (place_kept_ms_ && now_ms - *place_kept_ms_ < kPlaceWriteMs) return;
  place_kept_ms_ = now_ms;
  write(std::nullopt, [done = std::move(done)](const std::string& problem) {
    done(problem.empty() ? problem : "the last server cannot be kept: " + problem);
  });
}

void SessionKeeper::on_lost() {
  broke_at_ms_ = wall_ms();
}

std::optional<StoredSession> SessionKeeper::stored(DurableState& durable, bool outbox) const {
  if (!keeps_ || !wanted_ || !durable.identity.server_instance_id) return std::nullopt;
  auto session = store_session(durable.session, outbox ? &durable.queue : nullptr, deliveries_);
  if (!session) return std::nullopt;
  session->server_instance_id = *durable.identity.server_instance_id;
  session->broke_at_ms = broke_at_ms_;
  return session;
}

bool SessionKeeper::save(DurableState& durable, bool outbox, Done done) {
  if (std::exchange(ended_, true)) return saving_;
  auto session = stored(durable, outbox);
  // What is being written is waited for: the loop may end with the connection.
  const bool behind = session || place_ != kept_ || store_.busy();
  if (!keeps_ || !behind) return false;
  saving_ = true;
  write(std::move(session), [this, done = std::move(done)](const std::string& problem) {
    saving_ = false;
    done(problem.empty() ? problem : "the session cannot be kept for the next run: " + problem);
  });
  return true;
}

void SessionKeeper::write(std::optional<StoredSession> session, Done done) {
  SessionRecord record{place_.server, place_.address, std::move(session), place_.delivered_last};
  std::string text = to_text(record);
  if (text.size() > kSessionRecordBytesMax) {
    record.session.reset();
    text = to_text(record);
  }
  kept_ = place_;
  store_.save_session(std::move(text), [this, done = std::move(done)](const auto& saved) {
    if (saved) return done({});
    kept_ = {};
    done(saved.error());
  });
}

}  // namespace sink::client
