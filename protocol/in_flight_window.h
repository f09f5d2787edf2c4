// The messages of one direction of one connection that await their ACK or NACK, by 12-bit id.
// Not responsible for what an entry means. Invariants: a live id is never handed out again; ids
// count up modulo 4096 from the first; size() <= capacity() <= 4095. Memory grows with what is in
// flight (from 0 to 4096 slots) and is given back when the window empties.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace sink::protocol {

inline constexpr uint32_t kMessageIds = 4096;
inline constexpr uint16_t kWindowMax = 4095;

template <class Entry>
class InFlightWindow {
 public:
  // `first_id` should be random, so that ids of an earlier connection rarely look alive.
  InFlightWindow(uint16_t first_id, uint16_t capacity)
      : oldest_(first_id % kMessageIds), next_(oldest_),
        capacity_(capacity > kWindowMax ? kWindowMax : capacity) {}

  // Gives `entry` the next free id; nullopt when the window is full.
  std::optional<uint16_t> add(Entry entry) {
    if (size_ >= capacity_) return std::nullopt;
    if (size_ == 0) oldest_ = next_;
    while (span() >= slots_.size() && slots_.size() < kMessageIds) grow();
    if (slots_.size() == kMessageIds)
      while (slots_[next_].live) next_ = following(next_);
    Slot& slot = slots_[next_ & mask()];
    slot.entry = std::move(entry);
    slot.live = true;
    ++size_;
    const auto id = static_cast<uint16_t>(next_);
    next_ = following(next_);
    if (next_ == oldest_) wrapped_ = true;
    return id;
  }

  // The entry of a live id, else nullptr. Valid until the next add() or take().
  Entry* find(uint16_t id) {
    if (size_ == 0 || !in_span(id)) return nullptr;
    Slot& slot = slots_[id & mask()];
    return slot.live ? &slot.entry : nullptr;
  }

  // Frees a live id and returns its entry; nullopt for any other id.
  std::optional<Entry> take(uint16_t id) {
    Entry* entry = find(id);
    if (entry == nullptr) return std::nullopt;
    Entry taken = std::move(*entry);
    slots_[id & mask()].live = false;
    --size_;
    if (size_ == 0) {
      clear_span();
    } else {
      advance_oldest();
    }
    return taken;
  }

  // Calls visit(id, entry) for every live id, oldest first as far as ids tell.
  template <class Visit>
  void for_each(Visit&& visit) {
    if (size_ == 0) return;
    uint32_t id = wrapped_ ? next_ : oldest_;
    for (uint32_t left = span(); left > 0; --left, id = following(id)) {
      Slot& slot = slots_[id & mask()];
      if (slot.live) visit(static_cast<uint16_t>(id), slot.entry);
    }
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return size_ >= capacity_; }
  uint16_t capacity() const { return capacity_; }
  void set_capacity(uint16_t capacity) {
    capacity_ = capacity > kWindowMax ? kWindowMax : capacity;
  }
  size_t slots() const { return slots_.size(); }
  // What add() hands out next, unless it is live.
  uint16_t next_id() const { return static_cast<uint16_t>(next_); }

 private:
  struct Slot {
    Entry entry{};
    bool live = false;
  };
  static constexpr size_t kKeptSlots = 64;

  static uint32_t following(uint32_t id) { return (id + 1) % kMessageIds; }
  uint32_t mask() const { return static_cast<uint32_t>(slots_.size()) - 1; }

  // Ids from the oldest live one up to the next to give out.
  uint32_t span() const {
    if (wrapped_) return kMessageIds;
    return (next_ + kMessageIds - oldest_) % kMessageIds;
  }
  bool in_span(uint16_t id) const {
    if (id >= kMessageIds) return false;
    return (id + kMessageIds - oldest_) % kMessageIds < span();
  }

  void grow() {
    const size_t size = slots_.empty() ? 16 : slots_.size() * 2;
    std::vector<Slot> larger(size);
    uint32_t id = oldest_;
    for (uint32_t left = span(); left > 0; --left, id = following(id))
      larger[id & (size - 1)] = std::move(slots_[id & mask()]);
    slots_ = std::move(larger);
  }

  // Once the span has wrapped, ids are no longer in order of age: it stays whole until empty.
  void advance_oldest() {
    if (wrapped_) return;
    while (!slots_[oldest_ & mask()].live) oldest_ = following(oldest_);
  }

  void clear_span() {
    oldest_ = next_;
    wrapped_ = false;
    if (slots_.size() > kKeptSlots) std::vector<Slot>().swap(slots_);
  }

  std::vector<Slot> slots_;  // size is 0 or a power of two up to 4096
  uint32_t oldest_;
  uint32_t next_;
  bool wrapped_ = false;  // the span covers all 4096 ids
  uint16_t capacity_;
  size_t size_ = 0;
};

}  // namespace sink::protocol
