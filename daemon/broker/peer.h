// One connection as the broker sees it: protocol session, window of deliveries, bytes to send.
// Not responsible for sockets or TLS (daemon/net). Lives from Broker::connect to
// Broker::disconnected. Invariant: `client` is set only while the handshake has succeeded and no
// later connection has taken over.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/refused_offsets.h"
#include "daemon/broker/resumable_session.h"
#include "daemon/broker/tracker.h"
#include "protocol/control/control.h"
#include "protocol/in_flight_window.h"
#include "protocol/output_buffer.h"
#include "protocol/session.h"

namespace sink::broker {

// One delivery that awaits its answer.
struct Flight {
  Position position = 0;
  KeyHash key = 0;
  uint64_t sent_ms = 0;  // monotonic
  TrackerId tracker = 0;
  uint16_t previous = kNoMessage;  // in the tracker's list
  uint16_t next = kNoMessage;
  bool late = false;               // timed out; the id stays taken until the answer comes
  bool again = false;              // it had been sent before
  ClientNumber source = 0;         // who published it
  protocol::TallyMark mark;        // version 1

  // What chooses its link in a pool: an event that goes before or after any other goes by itself.
  KeyHash goes_with() const { return key != 0 ? key : position; }
};

struct Uplink;

struct Peer {
  Peer(ConnectionId connection, uint16_t first_message_id, uint16_t window_size)
      : id(connection), session(protocol::Role::server), window(first_message_id, window_size) {}

  ConnectionId id;
  protocol::Session session;
  protocol::InFlightWindow<Flight> window;
  protocol::OutputBuffer output;
  RefusedOffsets refused;
  std::unique_ptr<protocol::Greeting> greeting;  // version 1, until the welcome
  std::unique_ptr<ResumableSession> resumable;   // version 1, from then on
  std::map<uint16_t, OpenBatch> batches;         // by message id
  // Of a BATCH that awaits its answer, by message id: the ids in the window of all its events.
  std::map<uint16_t, std::vector<uint16_t>> sent_batches;
  uint32_t batch_events = 0;  // that the other side takes in one BATCH; 0 or 1: none is sent
  uint32_t told_batch_events = 0;  // that it may send, by its welcome; a reload may say less since
  std::string identity;  // client_id by certificate; empty: by instance id (plaintext)
  std::string address;
  Client* client = nullptr;
  uint8_t link = 0;  // which of the client's links this is
  // This side has made the connection and has not given it up; null: a client, or nobody now.
  Uplink* uplink = nullptr;
  bool awaits_record = false;  // of an uplink: until the server's instance id is committed
  uint64_t last_heard_ms = 0;
  Peer* quieter = nullptr;  // neighbours in the list by last_heard_ms
  Peer* louder = nullptr;
  Rate rate;  // of its client's policy
  bool input_paused = false;
  bool closing = false;
  std::optional<protocol::GoodbyeReason> goodbye;  // its last word
  uint16_t replies_due = 0;     // to control requests
  bool parked = false;          // its session waits for the client's next connection
  bool transport_gone = false;  // of a parked one
  uint64_t parked_until_ms = 0;
  bool output_announced = false;
};

}  // namespace sink::broker
