#include "daemon/broker/client_links.h"

namespace sink::broker {

ConnectionId ClientLinks::connection() const {
  for (const ClientLink& link : links_)
    if (link.connection != 0) return link.connection;
  return 0;
}

std::optional<uint8_t> ClientLinks::link_for(KeyHash key) const {
  if (const auto own = slots_.link_of(key)) return is_up(*own) ? own : std::nullopt;
  for (size_t step = 0; step < links_.size(); ++step) {
    const size_t link = (protocol::KeySlots::group_of(key) + step) % links_.size();
    if (is_up(link)) return static_cast<uint8_t>(link);
  }
  return std::nullopt;
}

}  // namespace sink::broker
