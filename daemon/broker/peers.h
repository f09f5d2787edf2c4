// The connections by id: a slot and a generation, so that an id of an earlier connection never
// finds a later one (fencing).
#pragma once

#include <memory>
#include <vector>

#include "daemon/broker/peer.h"

namespace sink::broker {

class Peers {
 public:
  Peer* find(ConnectionId id) {
    const uint32_t slot = static_cast<uint32_t>(id);
    if (slot >= peers_.size() || !peers_[slot] || peers_[slot]->id != id) return nullptr;
    return peers_[slot].get();
  }

  Peer& add(uint16_t first_message_id, uint16_t window) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(peers_.size()));
      peers_.emplace_back();
    }
    const uint32_t slot = free_.back();
    free_.pop_back();
    const ConnectionId id = ++generation_ << 32 | slot;
    peers_[slot] = std::make_unique<Peer>(id, first_message_id, window);
    ++size_;
    return *peers_[slot];
  }

  void remove(ConnectionId id) {
    if (find(id) == nullptr) return;
    const uint32_t slot = static_cast<uint32_t>(id);
    peers_[slot].reset();
    free_.push_back(slot);
    --size_;
  }

  template <class Visit>
  void for_each(Visit&& visit) {
    for (auto& peer : peers_)
      if (peer) visit(*peer);
  }
  size_t size() const { return size_; }

 private:
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<uint32_t> free_;
  uint64_t generation_ = 0;
  size_t size_ = 0;
};

}  // namespace sink::broker
