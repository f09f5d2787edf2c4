// Keeps the session of version 1 and the last server from one run to the next. Not responsible for
// what is in a session (stored_session.h) nor for the disk (state_keeper.h). Invariants: a stored
// session is taken out of the store before it is used, so that each is used at most once and a
// crash leaves none; it is stored only when nothing can move it any more. Without one a new session
// begins, which loses nothing.
//
//   load --> restore --> on_connected, on_delivered, on_answered, on_lost ... --> save
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "client/durable_state.h"
#include "client/servers.h"
#include "client/session_record.h"
#include "client/state_keeper.h"
#include "client/unfinished_deliveries.h"

namespace sink::client {

class SessionKeeper {
 public:
  // Called on the loop's thread. The problem is one sentence, or empty; it never ends anything.
  using Done = std::function<void(const std::string& problem)>;

  // Nothing is kept unless the store keeps sessions; without `wanted` only which of several
  // servers was the last one.
  SessionKeeper(StateKeeper& store, bool wanted, const Servers& servers)
      : store_(store),
        keeps_(store.keeps_session() && (wanted || servers.size() > 1)),
        wanted_(wanted),
        servers_(servers) {}

  bool keeps() const { return keeps_; }
  void load(Done done);

  // The session of the earlier run, if there is one that this server can still have. Once, when
  // the queue holds what the outbox has kept. Answers the problem.
  std::string restore(DurableState& durable);
  // The server that the session and the address are of. nullopt: not known.
  std::optional<size_t> last_server() const { return servers_.find(place_.server); }
  // The server that delivered last, where there are several.
  std::optional<size_t> delivered_last() const { return servers_.find(place_.delivered_last); }
  // Where the last server was reached, numeric: "127.0.0.1:2020". Empty: not known.
  const std::string& last_address() const { return place_.address; }

  void on_connected(size_t server, bool resumed, const std::string& address, uint64_t now_ms,
                    Done done);
  void on_delivered(size_t server, uint16_t message_id, const protocol::Tally& received,
                    uint64_t now_ms, Done done);
  // The same without a session that is kept: over another link of a pool.
  void note_delivery(size_t server, uint64_t now_ms, Done done);
  void on_answered(uint16_t message_id) { deliveries_.on_answered(message_id); }
  void on_lost();  // the connection is gone, or is being closed

  // Whether save() would store the session as it stands.
  bool may_keep(DurableState& durable) const { return stored(durable, false).has_value(); }
  // For the end of the run: nothing of `durable` may move afterwards. With an outbox, all of the
  // queue is in it. True while it is being saved: `done` comes. Saves once.
  [[nodiscard]] bool save(DurableState& durable, bool outbox, Done done);

 private:
  // Of a record: all but the session.
  struct Place {
    std::string server;  // by its key
    std::string address;
    std::string delivered_last;
    bool operator==(const Place&) const = default;
  };
  void write_place(uint64_t now_ms, Done done);
  std::optional<StoredSession> stored(DurableState& durable, bool outbox) const;
  void write(std::optional<StoredSession> session, Done done);

  StateKeeper& store_;
  const bool keeps_;
  const bool wanted_;  // sessions
  const Servers& servers_;
  Place place_;
  Place kept_;                             // what the store has
  std::optional<uint64_t> place_kept_ms_;  // when it was written; monotonic
  std::optional<StoredSession> found_;       // until restore()
  UnfinishedDeliveries deliveries_;
  uint64_t broke_at_ms_ = 0;  // wall clock
  bool ended_ = false;        // save() was called
  bool saving_ = false;
};

}  // namespace sink::client
