// The golden vectors of Sink protocol version 0 as messages and events. Not responsible for
// judging them. Source: test/vectors/sink_v0.json, written by an independent implementation.
#pragma once

#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "protocol/event.h"
#include "protocol/frame.h"

namespace sink::test {

// The whole file, read once.
const nlohmann::json& vectors();

std::string hex_field(const nlohmann::json& object, const char* name);
std::vector<protocol::Event> events_of(const nlohmann::json& array);

// Builds messages; their views live as long as the MessageReader.
class MessageReader {
 public:
  protocol::Message read(const nlohmann::json& message);

 private:
  protocol::Bytes keep(std::string bytes);
  protocol::ConnectionRequest read_request(const nlohmann::json& message);
  protocol::ConnectionResponse read_response(const nlohmann::json& message);
  protocol::Publish read_publish(const nlohmann::json& message);

  std::deque<std::string> kept_;
};

}  // namespace sink::test
