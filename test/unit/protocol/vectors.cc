#include "test/unit/protocol/vectors.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "test/unit/protocol/hex.h"

namespace sink::test {

using namespace sink::protocol;
using nlohmann::json;

namespace {

json load() {
  std::ifstream file(SINK_VECTORS);
  if (!file) {
    std::fprintf(stderr, "cannot read the golden vectors at %s\n", SINK_VECTORS);
    std::abort();
  }
  return json::parse(file);
}

[[noreturn]] void unknown_name(const std::string& name) {
  std::fprintf(stderr, "the golden vectors name '%s', which this test does not know\n",
               name.c_str());
  std::abort();
}

ResponseCode response_code(const std::string& name) {
  if (name == "connected") return ResponseCode::connected;
  if (name == "hello_new_client") return ResponseCode::hello_new_client;
  if (name == "instance_id_mismatch") return ResponseCode::instance_id_mismatch;
  if (name == "quarantined") return ResponseCode::quarantined;
  if (name == "unsupported_protocol_version") return ResponseCode::unsupported_protocol_version;
  if (name == "unsupported_application_version")
    return ResponseCode::unsupported_application_version;
  unknown_name(name);
}

Event event_of(const json& object) {
  return {object.at("event_type_id"), object.at("schema_version"), hex_field(object, "key"),
          object.at("offset"),        object.at("timestamp"),      hex_field(object, "event_data")};
}

}  // namespace

const json& vectors() {
  static const json loaded = load();
  return loaded;
}

std::string hex_field(const json& object, const char* name) {
  return unhex(object.at(name).get<std::string>());
}

std::vector<Event> events_of(const json& array) {
  std::vector<Event> events;
  for (const json& object : array) events.push_back(event_of(object));
  return events;
}

Bytes MessageReader::keep(std::string bytes) {
  return kept_.emplace_back(std::move(bytes));
}

ConnectionRequest MessageReader::read_request(const json& m) {
  ConnectionRequest request{m.at("protocol_version"), keep(m.at("application_version")),
                            m.at("client_instance_id"), std::nullopt};
  const json& server = m.at("server_instance_id");
  if (!server.is_null()) request.server_instance_id = server.get<uint32_t>();
  return request;
}

ConnectionResponse MessageReader::read_response(const json& m) {
  ConnectionResponse response;
  response.code = response_code(m.at("response"));
  if (response.code == ResponseCode::hello_new_client)
    response.server_instance_id = m.at("server_instance_id");
  if (response.code == ResponseCode::quarantined) {
    response.machine = keep(hex_field(m, "machine"));
    response.human = keep(m.at("human"));
  }
  return response;
}

Publish MessageReader::read_publish(const json& m) {
  const Event event = event_of(m.at("event"));
  std::string payload;
  append_event(payload, event.view());
  EventView view = event.view();
  view.key = keep(event.key);
  view.event_data = keep(event.event_data);
  return {m.at("message_id"), view, keep(std::move(payload))};
}

Message MessageReader::read(const json& m) {
  const std::string type = m.at("type");
  if (type == "connection_request") return read_request(m);
  if (type == "connection_response") return read_response(m);
  if (type == "ack") return Ack{m.at("message_id")};
  if (type == "publish") return read_publish(m);
  if (type == "ping") return Ping{};
  if (type == "pong") return Pong{};
  if (type == "nack")
    return Nack{m.at("message_id"), keep(hex_field(m, "machine")), keep(m.at("human"))};
  unknown_name(type);
}

}  // namespace sink::test
