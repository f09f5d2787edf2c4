// Events that were handed over for publishing and have not been ACKed or NACKed yet, in their
// order. Outlives connections: after rewind() everything is sent again, in the order of push(),
// with the same ack keys. Not responsible for message ids, for sending, or for what leaves it
// without an answer (dropping.h). Invariants: every sent event stands before every unsent one; a
// push() that would exceed events_max changes nothing, and bytes() exceeds bytes_max by at most one
// event; memory is bounded by the limits and given back when it empties.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/event.h"

namespace sink::client {

class PublishQueue {
 public:
  using Slot = uint32_t;  // names one queued event until take()
  static constexpr Slot kNone = UINT32_MAX;
  enum class Reach : uint8_t { unsent, all };  // those not sent on this connection; all

  struct Limits {
    size_t events_max = 0;
    size_t bytes_max = 0;  // of encoded events
  };
  struct Taken {
    uint64_t tag = 0;
    protocol::Bytes payload;  // valid until the next push()
  };

  explicit PublishQueue(Limits limits) : limits_(limits) {}

  // Encodes the event behind the last one. False: the queue is full, nothing has changed. `now_ms`
  // never goes back.
  [[nodiscard]] bool push(const protocol::EventView& event, uint64_t tag, uint64_t now_ms);

  // The same with an event that is encoded already, whatever the limits.
  void restore(protocol::Bytes payload, uint64_t tag, uint64_t now_ms);

  // From now on the serials of events that leave are remembered for take_left().
  void remember_left() { remembers_left_ = true; }
  std::vector<uint64_t> take_left() { return std::exchange(left_, {}); }
  Slot newest() const { return newest_; }

  // The oldest event not sent on this connection, or kNone.
  Slot next_unsent() const { return next_unsent_; }
  // The encoded event; valid until the next push() or take().
  protocol::Bytes payload(Slot slot) const;
  // Marks next_unsent() as sent; true if it had been sent on an earlier connection.
  bool mark_sent();
  // Removes an event: one that was sent, or next_unsent().
  Taken take(Slot slot);

  Slot oldest(Reach reach) const { return reach == Reach::all ? oldest_ : next_unsent_; }
  Slot newer(Slot slot) const { return entries_[slot].newer; }
  uint64_t queued_at_ms(Slot slot) const { return entries_[slot].queued_at_ms; }
  bool sent_before(Slot slot) const { return entries_[slot].sent_before; }

  // Tells an event from a later one in the same slot; never used again.
  uint64_t serial(Slot slot) const { return entries_[slot].serial; }
  bool holds(Slot slot, uint64_t serial) const {
    return slot < entries_.size() && entries_[slot].serial == serial;
  }

  // The connection is gone: whatever is left counts as unsent again.
  void rewind() {
    next_unsent_ = oldest_;
    unsent_ = size_;
  }

  // Only what was sent from `first` on, `count` events, counts as unsent again.
  void rewind_to(Slot first, size_t count) {
    next_unsent_ = first;
    unsent_ += count;
  }

  size_t size() const { return size_; }
  size_t unsent() const { return unsent_; }
  size_t bytes() const { return bytes_.size() - dead_bytes_; }
  bool full() const { return size_ >= limits_.events_max || bytes() >= limits_.bytes_max; }
  const Limits& limits() const { return limits_; }

 private:
  struct Entry {
    size_t at = 0;  // in bytes_
    uint32_t length = 0;
    bool sent_before = false;
    Slot older = kNone;
    Slot newer = kNone;  // chains the free slots, too
    uint64_t tag = 0;
    uint64_t serial = 0;  // 0: the slot is free
    uint64_t queued_at_ms = 0;
  };
  static constexpr size_t kDeadBytesKept = 64 * 1024;
  static constexpr size_t kCapacityKept = 1024 * 1024;

  Entry& begin_entry(uint64_t tag, uint64_t now_ms);
  void end_entry(Entry& entry);
  Slot allocate();
  void compact();

  Limits limits_;
  std::vector<Entry> entries_;
  std::string bytes_;  // payloads in order of age, with holes where answered ones were
  size_t dead_bytes_ = 0;
  std::vector<uint64_t> left_;
  bool remembers_left_ = false;
  uint64_t pushed_ = 0;
  size_t size_ = 0;
  size_t unsent_ = 0;
  Slot oldest_ = kNone;
  Slot newest_ = kNone;
  Slot next_unsent_ = kNone;
  Slot free_ = kNone;
};

}  // namespace sink::client
