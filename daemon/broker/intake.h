// Takes events in: knows republished ones, routes, gives positions, hands them to the log and
// acknowledges the publisher when the event is safe. Not responsible for delivering.
// Invariant (I1, P1, P2): an ACK leaves only with a CommitReceipt that reaches the event's batch,
// or when every matching tracker has settled the event.
#pragma once

#include <deque>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/broker/ack_waits.h"
#include "daemon/broker/core.h"
#include "daemon/broker/delivery.h"
#include "protocol/frame.h"

namespace sink::broker {

// Machine messages of the broker's own NACKs: one byte. Sent over the wire: never renumber.
enum class Refusal : uint8_t {
  storage_full = 1,
  offset_regressed = 2,
  unrouted = 3,
  too_large = 4,
  no_such_channel = 5,   // it is closing, or never was one of this client's
  channel_overflow = 6,  // send it again later, before any later message of the channel
};
const char* text_of(Refusal refusal);  // for people

class Intake {
 public:
  Intake(Core& core, Delivery& delivery);

  // True: publishers must wait, the commit buffer is full.
  bool busy() const;
  // The peer is connected; the intake is not busy() and the broker is not draining.
  void on_publish(Peer& peer, const protocol::Publish& publish);
  // False: it cannot be decoded, which is a protocol error.
  bool on_batch(Peer& peer, const protocol::BatchFrame& frame);
  // What connection `from` is still owed goes to `to`.
  void redirect(ConnectionId from, ConnectionId to);
  // Nothing is owed to it any more.
  void forget(ConnectionId connection) { waits_.forget_connection(connection); }
  // Too many of its events wait for subscriptions with ack = "settled": it is not read further.
  bool owes_much(ConnectionId connection) const {
    return waits_.owed(connection) >= AckWaits::kPerPeerMax;
  }
  void on_committed();

  // Hands young events to the log whose linger is over.
  void write_due();
  void write_all();
  // ACKs of events that were sent again, and whose trackers have come so far.
  void acknowledge_again();
  std::optional<uint64_t> deadline_ms() const;
  // Records that ride along with a commit that happens anyway.
  void write_progress();
  bool acks_pending() const {
    // unreached: while an ACK waits the log is not done, which drained() asks first
    return !acks_.empty() || !core_.young.empty() || !progress_.empty();
  }

 private:
  struct PendingAck {
    storage::Sequence sequence = 0;
    AckTarget target;
    Position position = 0;
  };

  void take(Peer& peer, const protocol::EventView& event, protocol::Bytes payload,
            const AckTarget& target);
  tl::expected<OffsetVerdict, Refusal> judge(const Client& client,
                                             const protocol::EventView& event) const;
  void refuse(Peer& peer, const AckTarget& target, Refusal refusal);
  void ask_for_pong(Peer& peer);
  void finish_one(Peer& peer, uint16_t message_id);
  void answer_ack(Peer& peer, uint16_t message_id);
  void answer_nack(Peer& peer, uint16_t message_id, protocol::Bytes machine, protocol::Bytes human);
  void accept(Peer& peer, const protocol::EventView& event, protocol::Bytes received,
              const AckTarget& target, const std::vector<Tracker*>& matched);
  protocol::Bytes canonical(const protocol::EventView& event, protocol::Bytes payload);
  void note_freshness(Client& client, const protocol::EventView& event);
  void ack_when_committed(const AckTarget& target);
  void ack_again(const Client& client, const protocol::EventView& event, const AckTarget& target);
  void send_ack(const AckTarget& target);
  void on_settled(const YoungEvent& event);
  void note_progress(const YoungEvent& event);
  template <class Predicate>
  void write_while(Predicate predicate);
  void drop_finished();

  Core& core_;
  Delivery& delivery_;
  std::deque<PendingAck> acks_;  // by sequence, ascending
  std::string prefix_;   // scratch
  std::string payload_;  // scratch
  size_t young_written_ = 0;     // at the front of core_.young
  uint64_t young_bytes_ = 0;     // not yet written
  AckWaits waits_;
  std::vector<ProgressRecord> progress_;  // of events that were never written
};

}  // namespace sink::broker
