// The connected peers in order of their last byte, so that only the quietest need be looked at.
// Intrusive: the links are the Peers' own. Not responsible for what silence leads to. Invariant: a
// peer is in it from its first heard() until remove().
#pragma once

#include "daemon/broker/peer.h"

namespace sink::broker {

class QuietList {
 public:
  void heard(Peer& peer, uint64_t now_ms) {
    peer.last_heard_ms = now_ms;
    if (loudest_ == &peer) return;
    remove(peer);
    peer.quieter = loudest_;
    if (loudest_ != nullptr) loudest_->louder = &peer;
    loudest_ = &peer;
    if (quietest_ == nullptr) quietest_ = &peer;
  }

  void remove(Peer& peer) {
    if (peer.quieter != nullptr) peer.quieter->louder = peer.louder;
    if (peer.louder != nullptr) peer.louder->quieter = peer.quieter;
    if (quietest_ == &peer) quietest_ = peer.louder;
    if (loudest_ == &peer) loudest_ = peer.quieter;
    peer.quieter = peer.louder = nullptr;
  }

  Peer* quietest() const { return quietest_; }

 private:
  Peer* quietest_ = nullptr;
  Peer* loudest_ = nullptr;
};

}  // namespace sink::broker
