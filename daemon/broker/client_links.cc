#include "daemon/broker/client_links.h"

namespace sink::broker {

ConnectionId ClientLinks::connection() const {
  for (const ClientLink& link : links_)
    if (link.connection != 0) return link.connection;
  return 0;
}

std::optional<uint8_t> ClientLinks::link_for(KeyHash key) const {
  const auto is_up = [this](size_t link) { return links_[link].connection != 0; };
  const auto link = slots_.choose(key, links_.size(), is_up);
  return link && is_up(*link) ? link : std::nullopt;
}

}  // namespace sink::broker
