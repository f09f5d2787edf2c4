// The oracle: stands at the gateway's door, reads every frame that goes in or out, keeps plain maps
// and says what must never be. Shares no code with the engine: it knows the wire format and the
// configuration, nothing of logs, batches or trackers. The first violation is kept; whoever drives
// the history asks for it after every step. Not responsible for making anything happen.
//
// What it judges: I1/P1 an event that was ACKed to its publisher is settled by every subscription it
// matched; I2 at least once; I3 and O2 order; I4/P4 a republished event is ACKed again and not
// delivered again; P5 an offset that goes backwards is refused; I9 nothing before the handshake;
// S1 an ACKed event does not come back; S6 no live message id is reused; D1 and D2 no duplicate
// without a cause, on a resumed session neither; B1 what is delivered is what was published.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/control/greeting.h"
#include "protocol/session.h"
#include "test/simulation/calls.h"
#include "test/simulation/refereed_subscription.h"
#include "test/simulation/trace.h"

namespace sink::simulation {

using ConnectionId = uint64_t;

// What a consumer's NACK does, by the first byte of its machine message; the gateway is configured
// to the same.
enum class Refused : uint8_t { held, settled, key_goes_on };

class Referee {
 public:
  explicit Referee(Trace& trace) : trace_(trace) {}

  // ---- what is configured ----
  void subscribe(const RefereedSubscription& subscription);
  void unsubscribe(const std::string& name);  // its backlog is still owed
  void resubscribe(const std::string& name);
  void on_machine(char machine, Refused what) { machines_[machine] = what; }
  void set_session_ttl(uint64_t ms) { session_ttl_ms_ = ms; }
  void on_pool(const std::string& client) { pools_.insert(client); }  // it may have several links
  void set_lingering() { lingers_ = true; }         // repeats after a crash are not bounded
  void allow_storage_full() { may_be_full_ = true; }

  // ---- the gateway's door, in the order things happen ----
  void set_time(uint64_t now_ms) { now_ms_ = now_ms; }
  // A point in the order of things, finer than any clock.
  struct Moment {
    uint64_t ms = 0;
    uint64_t order = 0;
  };
  Moment next_moment() { return {now_ms_, ++order_}; }
  void on_open(ConnectionId connection, const std::string& identity);
  // The gateway makes this one: the peer is a server.
  void on_dial(ConnectionId connection, const std::string& identity);
  void on_input(ConnectionId connection, protocol::Bytes bytes, bool held_back);
  // `since`: none of the bytes was made before.
  void on_output(ConnectionId connection, protocol::Bytes bytes, Moment since);
  // The gateway has given the connection up; what it sends after this was made before.
  // `output_left`: something was made for it and has not left, and may never.
  // `parks`: its session may be resumed.
  void on_fenced(ConnectionId connection, bool output_left, bool parks);
  void on_closed(ConnectionId connection, bool output_left);
  void on_quarantined(const std::string& client);  // nothing of it will be resumed
  void on_process_death();   // what was not on the disk may be forgotten
  void on_orderly_stop();
  // The disk has rotted: from now on only what rot may not break is judged.
  void on_rot() { rotten_ = true; }
  // An end of a channel had ACKs for messages that the gateway did not have.
  void on_channel_gap() {
    if (!rotten_) violate("I1: a channel goes on behind messages that were ACKed, and are lost");
  }

  // A reader of the log was given this event.
  void on_paged(const std::string& source, const protocol::EventView& event);
  // It has been given everything: each ACKed event must be among it.
  void check_paged();

  // ---- what operators did ----
  void on_dropped(const std::string& subscription, const std::string& consumer,
                  const std::string& source, const protocol::Event& event);
  void on_released(const std::string& subscription, const std::string& consumer,
                   const std::string& source, const protocol::Event& event);
  void on_new_history(const std::string& client);  // adopted after it was wiped

  // ---- judgement ----
  bool owes() const;  // an ACKed event is not settled yet
  // At the end. `unreadable`: positions that the gateway itself reports as damaged.
  void check_complete(uint64_t unreadable);
  const std::optional<std::string>& violation() const { return violation_; }
  void violate(std::string text);

  struct Tally {
    uint64_t published = 0, acked = 0, refused = 0, deliveries = 0, repeats = 0, answers = 0;
    uint64_t welcomed = 0, rejected = 0, resumed = 0;
  };
  const Tally& tally() const { return tally_; }
  Calls& calls() { return calls_; }

 private:
  struct Event {
    std::string source, key_name;  // key_name: source, type and key
    protocol::Event content;
    uint64_t index = 0;      // of its key, in order of first arrival
    bool acked = false;
    bool must_refuse = false;  // it arrived behind an ACKed one of a higher offset
    bool may_refuse = false;
    bool old_history = false;
    bool paged = false;        // a reader of the log was given it
    uint64_t seen_ms = 0;              // first
    uint64_t seen_in_life = 0;
    uint64_t epoch = 0;                // of the configuration when it was first seen
    std::map<std::string, bool> owed;  // tracker -> true: must, false: may
  };
  struct Flight {
    std::string tracker, event;
    uint64_t since_ms = 0;
    uint64_t number = 0;  // in the session
    bool late = false;    // it had timed out when its connection broke
  };
  struct Publication {  // one PUBLISH or BATCH
    std::vector<std::string> events;
    bool batch = false;
  };
  using FlightId = std::pair<uint16_t, size_t>;  // message id, and place in its batch
  // What a connection's two sides owe each other; a resumed session goes on with its last one's.
  struct Dialogue {
    uint64_t number = 0;                        // of dialogues
    std::map<uint16_t, Publication> published;  // unanswered, by message id
    std::map<uint16_t, Publication> answered;   // the last one of each id
    std::map<FlightId, Flight> flights;
    uint64_t sent = 0;                          // messages, by the gateway
    std::vector<uint16_t> arrivals;             // ids of those that came to it, in their order
    bool held_back = false;                     // some of them it may not have read
  };
  struct Connection {
    ConnectionId id = 0;
    std::string identity;
    protocol::Session in{protocol::Role::server};
    protocol::Session out{protocol::Role::client};
    bool dialled = false;  // `in` and `out` have each other's roles
    bool reuses_ids = false;  // while they are live: nobody knows what is answered then
    bool hostile = false;  // broke the protocol: nothing it says counts any more
    bool fenced = false;
    bool said_goodbye = false;
    std::shared_ptr<Dialogue> dialogue;
    std::optional<protocol::SessionPoint> asked;  // version 1
    std::optional<protocol::SessionId> session;   // version 1, once welcomed
    uint8_t link = 0;                             // of a pool
    std::string line() const { return identity + (link == 0 ? "" : "#" + std::to_string(link)); }
  };
  struct Refusal {
    std::string event;
    uint64_t order = 0;
  };
  struct Tracker {
    const RefereedSubscription* subscription = nullptr;
    std::string consumer;
    std::set<std::string> settled;         // in this life of the process
    std::set<std::string> settled_before;  // in an earlier one
    std::set<std::string> settled_late;    // perhaps: the answer may have been too late
    std::set<std::string> repeated;        // of those
    std::map<std::string, std::pair<uint64_t, uint64_t>> in_flight;  // in which dialogue, since when
    std::map<std::string, std::map<uint64_t, Refusal>> refused;  // key -> index
    std::map<std::string, uint32_t> failures;
    // key -> index and offset of the newest first delivery
    std::map<std::string, std::pair<uint64_t, uint64_t>> newest;
    std::set<std::string> delivered;
    std::set<std::string> answered;          // well or badly
  };
  struct Progress {
    uint64_t acked_offset = 0, seen_offset = 0, next_index = 0;
    bool any_acked = false, any_seen = false;
  };

  Tracker& tracker(const RefereedSubscription& subscription, const std::string& consumer);
  void owe(Event& event);
  void make_optional(const RefereedSubscription& subscription);
  void on_publish(Connection& from, const protocol::Publish& publish, bool held_back);
  void on_control(Connection& from, const protocol::Control& control, bool held_back);
  void on_batch(Connection& from, const protocol::BatchFrame& batch, bool held_back);
  std::string on_event(Connection& from, const protocol::EventView& content);
  void on_publish_answer(Connection& to, uint16_t id, const protocol::Nack* nack);
  void judge_answer(const std::string& name, bool ack);
  void judge_end_to_end(const Event& event, const std::string& name);
  void on_forwarded_batch(Connection& to, const protocol::BatchFrame& batch, Moment since);
  void on_delivery(Connection& to, FlightId id, const protocol::EventView& shown_event,
                   Moment since);
  void judge_id(Connection& to, uint16_t id);
  void on_deliver(Connection& to, const protocol::Deliver& deliver, Moment since);
  void judge_delivery(const std::string& name, Tracker& to, const Event& event,
                      const std::string& event_name, Moment since);
  bool key_is_held(Tracker& to, const Event& event, Moment since, std::string& blocker);
  void on_answer(Connection& from, uint16_t id, const protocol::Nack* nack, bool held_back);
  void judge_consumer(const Flight& flight, std::optional<char> refused, bool held_back);
  void on_response(Connection& to, const protocol::ConnectionResponse& response);
  void on_welcome(Connection& to, const protocol::ConnectionResponse& response);
  void resume(Connection& with, const protocol::SessionPoint& of_peer,
              const protocol::SessionPoint& of_gateway);
  void on_server_response(Connection& from, const protocol::ConnectionResponse& response);
  void begin_anew(const std::string& line);
  void end_lines(const std::string& identity, uint8_t first);
  void end_other_lines(const Connection& with);
  bool is_over(uint64_t dialogue) const;
  std::shared_ptr<Dialogue> new_dialogue();
  void settle_accounts(Connection& with, bool parks);
  static bool is_settled(const Tracker& tracker, const std::string& name);
  bool may_be_unseen(const std::string& consumer, uint64_t since_ms) const;
  void resolve(Tracker& tracker, const Event& event);
  void count_failure(Tracker& tracker, const Event& event, const std::string& name);
  bool timed_out(const Tracker& tracker, uint64_t since_ms) const;
  void forget_flights(uint64_t dialogue, bool parks);
  Event* find(const std::string& source, const protocol::EventView& event);

  Trace& trace_;
  Calls calls_;
  std::map<std::string, RefereedSubscription> subscriptions_;  // also those removed since
  std::set<std::string> active_;
  std::map<std::string, Tracker> trackers_;  // "subscription consumer"
  std::map<std::string, Event> events_;
  std::map<std::string, Progress> progress_;  // by source, type and key
  std::map<ConnectionId, Connection> connections_;
  struct Parked {
    protocol::SessionId session{};
    std::shared_ptr<Dialogue> dialogue;
    uint64_t until_ms = 0;
    bool asked_for = false;  // what becomes of it the next welcome tells, which others overtake
  };
  std::map<std::string, Parked> parked_;  // version 1, by line: what may be resumed
  std::set<std::string> pools_;            // clients that have come over several links
  std::map<std::string, uint64_t> lost_output_ms_;  // by consumer: when output was lost last
  uint64_t stopped_ms_ = 0;                         // when the last life ended
  std::set<std::string> known_clients_;  // welcomed
  std::set<std::string> seen_clients_;   // perhaps registered: a crash may have swallowed the welcome
  std::map<char, Refused> machines_;
  std::optional<std::string> violation_;
  Tally tally_;
  uint64_t now_ms_ = 0, order_ = 0, deaths_ = 0, epoch_ = 0, dialogues_ = 0;
  uint64_t session_ttl_ms_ = 0;
  bool lingers_ = false, rotten_ = false, may_be_full_ = false;
};

}  // namespace sink::simulation
