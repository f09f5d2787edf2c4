// Moves events through the trackers: sends them, takes the answers, retries, holds keys,
// quarantines, expires, and writes down what is settled. Not responsible for accepting events
// (Intake) or for connections (Sessions). Invariants: I2, I3, S1 to S6; see tracker.h for the
// states.
#pragma once

#include <array>
#include <deque>
#include <string>
#include <vector>

#include "daemon/broker/block_reads.h"
#include "daemon/broker/core.h"
#include "daemon/broker/outgoing_batch.h"
#include "daemon/broker/record_codec.h"
#include "daemon/broker/turn_queue.h"

namespace sink::broker {

// For the counters.
enum class DropReason : uint8_t {
  nack_policy, by_operator, subscription_removed, client_adopted, client_forgotten,
};

class Delivery {
 public:
  // What is kept of a NACK's messages; the protocol allows a whole frame.
  static constexpr size_t kMachineBytesMax = 255;
  static constexpr size_t kHumanBytesMax = 4'096;

  explicit Delivery(Core& core);

  // Called when a young event has been settled by everyone: its publisher is due an ACK.
  std::function<void(const YoungEvent&)> on_young_settled;

  // The tracker is done with the event: settled, or in quarantine. Wired to Intake.
  std::function<void(Position, TrackerId)> on_done;

  // Writes a young event before any record speaks of it; wired to Intake.
  std::function<void(Position)> ensure_written;

  // A newly accepted event matched this tracker.
  void add(Tracker& tracker, Position position);
  // The client's deliveries go to `peer` from now on; or to nobody.
  void attach(Client& client, Peer& peer);
  void detach(Client& client, Peer& peer);
  // The session of `client` goes on: `peer` has the window of its last connection. What the client
  // has not received will be sent next. Returns the ids of what it has received and not answered,
  // in the order they were sent.
  std::vector<uint16_t> resume_window(Client& client, Peer& peer, uint64_t received);

  // Answers of a consumer. Unknown ids are counted and change nothing (S2).
  void on_ack(Peer& peer, uint16_t message_id);
  void on_nack(Peer& peer, uint16_t message_id, std::string_view machine, std::string_view human);

  void on_timer(const Timer& timer);
  void on_committed(storage::Sequence sequence);
  void on_writable(Client& client);
  void wake(Tracker& tracker);

  // Sends what may be sent, in fair turns. False: there is more to do at once.
  bool pump_all();

  // Settlement records: when they must be written even if nothing else is, and writing them.
  bool settlements_due() const;
  std::optional<uint64_t> settlements_deadline_ms() const;
  bool settlements_pending() const { return !settlement_queue_.empty(); }
  void write_settlements();

  // The operator's hand. False: no such quarantined event.
  bool release(Tracker& tracker, Position position);
  bool drop(Tracker& tracker, Position position);
  // Settles everything unsettled below `end` as dropped; returns how many.
  uint64_t drop_all(Tracker& tracker, DropReason why = DropReason::by_operator,
                    Position end = UINT64_MAX);
  void resume(Subscription& subscription);
  void pause(Subscription& subscription, std::string reason);
  void record_subscription(const Subscription& subscription);

  // After recovery: marks, holds and timers from what the fold left in the tracker.
  void restore(Tracker& tracker);
  void arm_expiry(Tracker& tracker);
  // After a change of the subscription's limits.
  void update_stall(Tracker& tracker);
  // Unsettled positions that are neither pending nor quarantined, not sorted.
  std::vector<Position> collect_moving(Tracker& tracker);
  // Every unsettled position of the tracker in [first, end), not sorted.
  void collect_unsettled(Tracker& tracker, Position first, Position end,
                         std::vector<Position>& out);
  // The oldest `count` unsettled positions in [from, end), ascending; and the oldest of all.
  std::vector<Position> first_unsettled(Tracker& tracker, Position from, Position end,
                                        size_t count);
  std::optional<Position> oldest_unsettled(Tracker& tracker);
  // The oldest that is neither settled nor in quarantine.
  std::optional<Position> oldest_moving(Tracker& tracker);
  // The record of an event that is in memory.
  std::optional<std::string_view> find_record(Position position);
  // Sets a source in quarantine (NACK policy quarantine-client); wired to Sessions.
  std::function<void(ClientNumber, std::string_view machine, std::string_view human)>
      quarantine_source;
  // Ends a connection; wired to Sessions.
  std::function<void(Peer&, CloseReason)> close_peer;

 private:
  struct Syncing {
    storage::Sequence sequence = 0;
    TrackerId tracker = 0;
    uint32_t count = 0;
  };
  enum class Step : uint8_t { sent, skipped, blocked };

  Peer* peer_on(const Client& client, uint8_t link);
  template <class Visit>
  void for_each_flight(Tracker& tracker, Visit&& visit);
  bool takes(const Peer& peer) const;
  bool can_send(const Tracker& tracker);
  bool is_backlog(const Tracker& tracker, const Uplink* uplink);
  bool is_paced(Uplink& uplink, const Client& client);
  bool pump(Tracker& tracker, int budget);
  bool take_turn(Tracker& tracker, int budget);
  Step deliver_next(Tracker& tracker);
  Step deliver(Tracker& tracker, Position position, bool sent_before, std::string_view record);
  Step set_aside(Tracker& tracker, Position position, bool sent_before);
  static void recall_aside(Tracker& tracker);
  void recount_links(Client& client);
  void send(Tracker& tracker, Peer& peer, std::string_view payload, Flight flight);
  void send_batch(Peer& peer);
  static void mark_sent(Peer& peer, Flight& flight, std::string_view payload);
  void append_delivery(Peer& peer, uint16_t id, const Tracker& tracker, std::string_view payload,
                       const Flight& flight);
  void arm_timeout(Tracker& tracker, uint64_t sent_ms);
  std::optional<std::string_view> formatted(const Tracker& tracker, const EventRecord& record,
                                            protocol::EventView event);
  void take_next(Tracker& tracker, Position position);
  bool expired(const Tracker& tracker, Position position) const;
  void expire_front(Tracker& tracker);
  void request_block(Tracker& tracker, Position position);
  void on_block(Tracker& tracker, Position position, BlockReads::Outcome outcome);
  void lose(Tracker& tracker, Position position);

  // delivery_answers.cc
  std::vector<uint16_t> carried_by(Peer& peer, uint16_t message_id);
  void on_acked(Peer& peer, uint16_t message_id);
  void on_nacked(Peer& peer, uint16_t message_id, std::string_view machine,
                 std::string_view human);
  Tracker* take_flight(Peer& peer, uint16_t message_id, Flight& flight);
  void enlist(Tracker& tracker, Peer& peer, uint16_t id);
  void delist(Tracker& tracker, Peer& peer, const Flight& flight);
  void time_out(Tracker& tracker);
  std::optional<uint64_t> time_out_on(Tracker& tracker, uint8_t link);
  void close_if_unanswered(Peer& peer);

  void settle(Tracker& tracker, Position position, Settled how);
  void count_dropped(DropReason why, uint64_t count);
  void resolve(Tracker& tracker, Position position);
  void settle_late(Tracker& tracker, Position position);
  void queue_settlement(Tracker& tracker);
  void write_settlement(Tracker& tracker, Settled how, std::vector<Position>& positions);

  // delivery_failure.cc: what happens to an event that was refused or not answered.
  struct Failure {
    Position position = 0;
    KeyHash key = 0;  // 0: not known
    std::string machine;
    std::string human;
    ClientNumber source = 0;  // 0: not known
  };
  NackAction action_for(const Tracker& tracker, std::string_view machine) const;
  NackAction action_for_silence(const Tracker& tracker) const;
  void fail(Tracker& tracker, Failure failure, NackAction action);
  void retry(Tracker& tracker, const Failure& failure, bool counted);
  void remember_uncounted(Tracker& tracker, const Failure& failure);
  void record_attempt(Tracker& tracker, Position position, const Mark& mark);
  void quarantine(Tracker& tracker, const Failure& failure, bool hold);
  bool take_key(Tracker& tracker, KeyHash key, Position position);
  void hold_back(Tracker& tracker, Position position, Mark& mark);
  void requeue(Tracker& tracker, Position position, Mark& mark);
  void wait_for_retry(Tracker& tracker, Position position, Mark& mark);
  void release_key(Tracker& tracker, KeyHash key);
  void retry_due(Tracker& tracker, Position position);
  void recall_flights(Tracker& tracker, Position end);
  void take_out_below(Tracker& tracker, Position end);
  bool remove_behind(Tracker& tracker, KeyHash key, Position position);
  void stop_waiting(Tracker& tracker, Mark& mark);
  bool oldest_displaced(const Tracker& tracker, HeldKey& held, Position& position) const;

  Core& core_;
  BlockReads reads_;
  TurnQueue queue_;
  std::vector<TrackerId> await_commit_;
  std::vector<TrackerId> settlement_queue_;
  std::deque<Syncing> syncing_;
  std::string formatted_;  // scratch
  std::array<OutgoingBatch, protocol::kLinksMax> batches_;  // by link, of the turn under way
  uint64_t oldest_settlement_ms_ = 0;
  bool settlement_pressure_ = false;
};

}  // namespace sink::broker
