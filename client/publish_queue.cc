#include "client/publish_queue.h"

#include <cstring>

#include "protocol/frame.h"

namespace sink::client {

bool PublishQueue::push(const protocol::EventView& event, uint64_t tag, uint64_t now_ms) {
  if (full()) return false;
  Entry& entry = begin_entry(tag, now_ms);
  protocol::append_event(bytes_, event);
  end_entry(entry);
  return true;
}

void PublishQueue::restore(protocol::Bytes payload, uint64_t tag, uint64_t now_ms) {
  Entry& entry = begin_entry(tag, now_ms);
  bytes_ += payload;
  entry.sent_before = true;  // who knows
  end_entry(entry);
}

// Makes the newest entry; its bytes are appended next.
PublishQueue::Entry& PublishQueue::begin_entry(uint64_t tag, uint64_t now_ms) {
  const bool sparse = dead_bytes_ > kDeadBytesKept && dead_bytes_ > bytes_.size() / 2;
  if (sparse || size_ == 0) compact();
  const Slot slot = allocate();
  Entry& entry = entries_[slot];
  entry = {};
  entry.at = bytes_.size();
  entry.tag = tag;
  entry.serial = ++pushed_;
  entry.queued_at_ms = now_ms;
  entry.older = newest_;
  if (newest_ == kNone) {
    oldest_ = slot;
  } else {
    entries_[newest_].newer = slot;
  }
  newest_ = slot;
  if (next_unsent_ == kNone) next_unsent_ = slot;
  ++size_;
  ++unsent_;
  return entry;
}

void PublishQueue::end_entry(Entry& entry) {
  entry.length = static_cast<uint32_t>(bytes_.size() - entry.at);
}

protocol::Bytes PublishQueue::payload(Slot slot) const {
  const Entry& entry = entries_[slot];
  return protocol::Bytes(bytes_).substr(entry.at, entry.length);
}

bool PublishQueue::mark_sent() {
  Entry& entry = entries_[next_unsent_];
  const bool again = entry.sent_before;
  entry.sent_before = true;
  next_unsent_ = entry.newer;
  --unsent_;
  return again;
}

PublishQueue::Taken PublishQueue::take(Slot slot) {
  Entry& entry = entries_[slot];
  const Taken taken{entry.tag, payload(slot)};
  if (slot == next_unsent_) {
    next_unsent_ = entry.newer;
    --unsent_;
  }
  if (entry.older == kNone) {
    oldest_ = entry.newer;
  } else {
    entries_[entry.older].newer = entry.newer;
  }
  if (entry.newer == kNone) {
    newest_ = entry.older;
  } else {
    entries_[entry.newer].older = entry.older;
  }
  dead_bytes_ += entry.length;
  if (remembers_left_) left_.push_back(entry.serial);
  entry.serial = 0;
  entry.newer = free_;
  free_ = slot;
  --size_;
  return taken;
}

PublishQueue::Slot PublishQueue::allocate() {
  if (free_ == kNone) {
    entries_.emplace_back();
    return static_cast<Slot>(entries_.size() - 1);
  }
  const Slot slot = free_;
  free_ = entries_[slot].newer;
  return slot;
}

// Closes the holes. Payloads lie in order of age, so each moves towards the front or stays.
void PublishQueue::compact() {
  size_t end = 0;
  for (Slot slot = oldest_; slot != kNone; slot = entries_[slot].newer) {
    Entry& entry = entries_[slot];
    std::memmove(bytes_.data() + end, bytes_.data() + entry.at, entry.length);
    entry.at = end;
    end += entry.length;
  }
  bytes_.resize(end);
  dead_bytes_ = 0;
  if (bytes_.capacity() > kCapacityKept && bytes_.capacity() / 8 > end) bytes_.shrink_to_fit();
}

}  // namespace sink::client
