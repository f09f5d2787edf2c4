#include "daemon/broker/client_links.h"

namespace sink::broker {

ConnectionId ClientLinks::connection() const {
  for (const ClientLink& link : links_)
    if (link.connection != 0) return link.connection;
  return 0;
}

std::optional<uint8_t> ClientLinks::link_for(KeyHash key) const {
  const size_t number = key % kSlots;
  if (counts() && slots_[number].under_way > 0) {
    const uint8_t own = slots_[number].link;
    return is_up(own) ? std::optional(own) : std::nullopt;
  }
  for (size_t step = 0; step < links_.size(); ++step) {
    const size_t link = (number + step) % links_.size();
    if (is_up(link)) return static_cast<uint8_t>(link);
  }
  return std::nullopt;
}

void ClientLinks::on_sent(KeyHash key, uint8_t link) {
  if (!counts()) return;
  Slot& slot = slots_[key % kSlots];
  slot.link = link;
  ++slot.under_way;
}

void ClientLinks::on_over(KeyHash key) {
  if (counts()) --slots_[key % kSlots].under_way;
}

}  // namespace sink::broker
