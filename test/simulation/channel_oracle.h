// What is known of every durable channel: what its ends have sent, what the gateway accepted, what
// came out at the other end. Stands with the ends, not at the gateway's door, and shares no code
// with the engine. Judges P1 and I1 (an accepted message arrives), I3 (in order, none left out) and
// B1 (as it was sent). Not responsible for sending.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace sink::simulation {

class ChannelOracle {
 public:
  // `from_owner`: it is a message of the service's owner. An answer is what must not be.
  void on_sent(const std::string& channel, bool from_owner, uint64_t offset,
               const std::string& data) {
    directions_[{channel, from_owner}].sent.emplace(offset, data);
  }
  void on_accepted(const std::string& channel, bool from_owner, uint64_t offset) {
    Direction& way = directions_[{channel, from_owner}];
    way.accepted = std::max(way.accepted, offset);
  }
  std::optional<std::string> on_received(const std::string& channel, bool from_owner,
                                         uint64_t offset, const std::string& data) {
    Direction& way = directions_[{channel, from_owner}];
    const auto sent = way.sent.find(offset);
    const std::string what = "message " + std::to_string(offset) + " of channel " + channel;
    if (sent == way.sent.end() || sent->second != data)
      return "B1: " + what + " is not what was sent";
    if (offset > way.received + 1)
      return "I3: " + what + " comes behind " + std::to_string(way.received);
    way.received = std::max(way.received, offset);
    return std::nullopt;
  }
  // What the gateway says that it has taken of an end's messages.
  std::optional<std::string> on_listed(const std::string& channel, bool from_owner,
                                       uint64_t published) {
    const Direction& way = directions_[{channel, from_owner}];
    if (published >= way.accepted) return std::nullopt;
    return "I1: the gateway has forgotten message " + std::to_string(way.accepted) +
           " of channel " + channel + ", which it had accepted";
  }
  // An accepted message that has not arrived.
  std::optional<std::string> owed() const {
    for (const auto& [name, way] : directions_)
      if (way.accepted > way.received)
        return "message " + std::to_string(way.received + 1) + " of channel " + name.first +
               (name.second ? " from its owner" : " from its opener");
    return std::nullopt;
  }

 private:
  struct Direction {
    std::map<uint64_t, std::string> sent;
    uint64_t accepted = 0, received = 0;  // the highest offset
  };
  std::map<std::pair<std::string, bool>, Direction> directions_;
};

}  // namespace sink::simulation
