// The handshake decision: all combinations of what the server knows and what a request says.
#include "protocol/handshake.h"

#include <doctest/doctest.h>

using namespace sink::protocol;

namespace {

constexpr uint32_t kServer = 100;
constexpr uint32_t kClient = 200;

enum Record { unknown, same_client, other_client };
enum Presented { none, same_server, other_server };

struct Answer {
  ResponseCode code;
  bool record_client;
};

// Rows: the server's record of the client. Columns: the request's server id.
constexpr ResponseCode kYes = ResponseCode::connected;
constexpr ResponseCode kHello = ResponseCode::hello_new_client;
constexpr ResponseCode kNo = ResponseCode::instance_id_mismatch;
constexpr Answer kIdsTable[3][3] = {
    /*                none             same server    other server */
    /* unknown */ {{kHello, true}, {kNo, false}, {kNo, false}},
    /* same    */ {{kHello, false}, {kYes, false}, {kNo, false}},
    /* other   */ {{kNo, false}, {kNo, false}, {kNo, false}},
};

HandshakeFacts facts_for(Record record) {
  HandshakeFacts facts;
  facts.server_instance_id = kServer;
  if (record == same_client) facts.recorded_client_instance_id = kClient;
  if (record == other_client) facts.recorded_client_instance_id = kClient + 1;
  return facts;
}

ConnectionRequest request_with(Presented presented) {
  ConnectionRequest request;
  request.application_version = "1.0.0";
  request.client_instance_id = kClient;
  if (presented == same_server) request.server_instance_id = kServer;
  if (presented == other_server) request.server_instance_id = kServer + 1;
  return request;
}

void check(const HandshakeFacts& facts, const ConnectionRequest& request, Answer expected) {
  const HandshakeDecision decision = decide_handshake(facts, request);
  CHECK(decision.code == expected.code);
  CHECK(decision.record_client == expected.record_client);
}

constexpr Record kRecords[] = {unknown, same_client, other_client};
constexpr Presented kPresented[] = {none, same_server, other_server};

}  // namespace

TEST_CASE("handshake: every cell of the instance id table") {
  for (const Record record : kRecords) {
    for (const Presented presented : kPresented) {
      CAPTURE(record);
      CAPTURE(presented);
      check(facts_for(record), request_with(presented), kIdsTable[record][presented]);
    }
  }
}

TEST_CASE("handshake: all combinations, the first check that fails answers") {
  size_t combinations = 0;
  for (const Record record : kRecords)
    for (const Presented presented : kPresented)
      for (unsigned version = 0; version < 16; ++version)
        for (const bool quarantined : {false, true})
          for (const bool accepted : {false, true}) {
            HandshakeFacts facts = facts_for(record);
            facts.quarantined = quarantined;
            facts.application_version_accepted = accepted;
            ConnectionRequest request = request_with(presented);
            request.protocol_version = static_cast<uint8_t>(version);
            Answer expected = kIdsTable[record][presented];
            if (!accepted) expected = {ResponseCode::unsupported_application_version, false};
            if (quarantined) expected = {ResponseCode::quarantined, false};
            if (version != 0) expected = {ResponseCode::unsupported_protocol_version, false};
            check(facts, request, expected);
            ++combinations;
          }
  CHECK(combinations == 3 * 3 * 16 * 2 * 2);
}

TEST_CASE("handshake: an instance id of zero is an instance id") {
  HandshakeFacts facts;
  ConnectionRequest request;
  check(facts, request, {kHello, true});
  request.server_instance_id = 0;
  check(facts, request, {kNo, false});
  facts.recorded_client_instance_id = 0;
  check(facts, request, {kYes, false});
  request.server_instance_id.reset();
  check(facts, request, {kHello, false});
  request.client_instance_id = 1;
  check(facts, request, {kNo, false});
}

TEST_CASE("handshake: ids that agree only in part, or across, do not agree") {
  for (unsigned bit = 0; bit < 32; ++bit) {
    HandshakeFacts facts = facts_for(same_client);
    ConnectionRequest request = request_with(same_server);
    request.client_instance_id ^= 1u << bit;
    check(facts, request, {kNo, false});
    request = request_with(same_server);
    *request.server_instance_id ^= 1u << bit;
    check(facts, request, {kNo, false});
  }
  ConnectionRequest crossed = request_with(same_server);
  crossed.client_instance_id = kServer;
  crossed.server_instance_id = kClient;
  check(facts_for(same_client), crossed, {kNo, false});
}
