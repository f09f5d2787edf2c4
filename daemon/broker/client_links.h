// The connections of one client: one, or several where it keeps a pool of links; and which of them
// the events of a key take. Not responsible for their lives (Sessions, Resumption) or their windows
// (Delivery). Invariant: while a delivery of a key is under way on a link, the key's next ones take
// that link or wait for it, so that their order holds (I2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/broker/quarantine.h"
#include "protocol/key_slots.h"

namespace sink::broker {

using ConnectionId = uint64_t;  // slot and generation; 0: none

struct ClientLink {
  ConnectionId connection = 0;
  ConnectionId parked = 0;  // the Peer of a session whose connection broke (Resumption)
  std::optional<std::array<uint8_t, 16>> ended_session;  // the last that came to its end parked

  // Who holds what is in flight on it; 0: nothing is.
  ConnectionId peer() const { return connection != 0 ? connection : parked; }
};

class ClientLinks {
 public:
  // Makes those up to `number`.
  ClientLink& at(uint8_t number) {
    if (number >= links_.size()) links_.resize(number + size_t{1});
    return links_[number];
  }
  const std::vector<ClientLink>& all() const { return links_; }
  // The connection of the first that has one; 0: none has.
  ConnectionId connection() const;
  bool connected() const { return connection() != 0; }
  bool first_connected() const { return links_.front().connection != 0; }

  // The link that the next event of `key` takes: its own, while the key has something under way;
  // else the one that keys like it share while that is up. Nullopt: it waits for its own link to be
  // resumed or given up, or no link is up.
  std::optional<uint8_t> link_for(KeyHash key) const;
  // What is under way is counted from here on, and only where there are several links: whoever
  // changes which of them are up begins again, and says what is under way then.
  void begin_count() { slots_.begin(links_.size() > 1); }
  bool counts() const { return slots_.counts(); }
  void on_sent(KeyHash key, uint8_t link) { slots_.on_sent(key, link); }
  void on_over(KeyHash key) { slots_.on_over(key); }  // answered, timed out, taken back

 private:
  std::vector<ClientLink> links_ = std::vector<ClientLink>(1);
  protocol::KeySlots slots_;
};

}  // namespace sink::broker
