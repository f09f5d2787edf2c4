// One uplink as the engine sees it: its servers, its links, and how far each of them is. Plain
// state, changed by Uplinks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/client.h"
#include "daemon/broker/uplink_spec.h"
#include "protocol/backoff.h"
#include "protocol/control/greeting.h"
#include "protocol/frame.h"
#include "protocol/keepalive.h"
#include "protocol/link_health.h"
#include "protocol/version_choice.h"
#include "storage/format.h"

namespace sink::broker {

using storage::Position;

enum class UplinkState : uint8_t { waiting, dialling, greeting, saving, connected, stopped };

// One server of an uplink.
struct Upstream {
  std::string address;              // "host:port"
  protocol::VersionChoice version{protocol::kProtocolVersion1};
  uint64_t not_before_ms = 0;       // it has refused, and said when to come back
  std::string stopped_because;      // not tried until an operator has looked; empty: it is
};

// One connection of an uplink's pool at a time, with a session of its own.
struct UplinkLink {
  uint8_t number = 0;
  UplinkState state = UplinkState::waiting;  // stopped: only the first
  uint64_t due_ms = 0;      // waiting: next attempt; dialling to saving: given up then
  uint64_t connected_ms = 0;
  ConnectionId connection = 0;
  ConnectionId successor = 0;  // being made, to take its place; given up at due_ms
  uint8_t version = 0;      // of the protocol, as asked for
  protocol::Backoff backoff;  // of the first: between rounds through all servers
  std::optional<protocol::Welcome> welcome;      // while saving
  std::optional<protocol::Keepalive> keepalive;  // while connected
  std::optional<protocol::LinkHealth> health;     // while connected in a pool,
  std::optional<protocol::LinkHealth> health_before;  // and of its last connection
  bool explained = false;   // the end of this attempt stands in last_error
  uint64_t resumed = 0;
};

struct Uplink {
  UplinkSpec spec;
  std::string client_id;
  std::vector<Upstream> servers;
  size_t server = 0;        // the one that is tried, or connected
  size_t failed = 0;        // servers in a row that could not be reached, or were of no use
  std::vector<UplinkLink> links;  // spec.links of them; the first chooses the server
  size_t pool = 1;          // how many of them the server takes
  uint64_t recycle_ms = 0;  // then the slowest of the pool is made anew
  Position backlog_end = 0;      // what was accepted before it was connected is backlog
  TokenBucket backlog;           // of spec.rate
  uint64_t paced_until_ms = 0;   // a timer is set for then
  std::string last_error;
  uint64_t last_error_ms = 0;  // Unix time; 0: none
  uint64_t handshakes = 0, resumed = 0, failures = 0, recycled = 0;  // of all its links

  const UplinkLink& first() const { return links.front(); }
  // Connected where any link is, else the first one's.
  UplinkState state() const;
  uint64_t connected_ms() const;  // of the link that has been for longest; 0: none is
};

}  // namespace sink::broker
