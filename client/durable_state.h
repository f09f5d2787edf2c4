// What of a client outlives its connections: its ids, its unanswered publishes, its patience and
// its counts. Owned by the Connection, lent to one Link at a time. Not responsible for anything
// else.
#pragma once

#include <cstdint>
#include <optional>

#include "client/identity.h"
#include "client/publish_queue.h"
#include "client/session_memory.h"
#include "protocol/backoff.h"
#include "protocol/link_health.h"

namespace sink::client {

// Since the client was made. Monotonic.
struct Counters {
  uint64_t handshakes = 0;   // completed
  uint64_t resumed = 0;      // of those, with the session of an earlier connection
  uint64_t publishes = 0;    // PUBLISH frames sent
  uint64_t republishes = 0;  // of those, sent before on an earlier connection
  uint64_t acked = 0;        // our events
  uint64_t nacked = 0;
  uint64_t overflowed = 0;  // dropped without an answer, for each reason
  uint64_t aged_out = 0;
  uint64_t given_up = 0;         // by close() or for good
  uint64_t late_answers = 0;     // to events that had been dropped, ignored
  uint64_t unknown_answers = 0;  // ACKs and NACKs for ids that were not in flight, ignored
  uint64_t deliveries = 0;       // events the server sent
  uint64_t deliveries_acked = 0;
  uint64_t deliveries_nacked = 0;

  Counters& operator+=(const Counters& other) {
    for (const auto field :
         {&Counters::handshakes, &Counters::resumed, &Counters::publishes, &Counters::republishes,
          &Counters::acked, &Counters::nacked, &Counters::overflowed, &Counters::aged_out,
          &Counters::given_up, &Counters::late_answers, &Counters::unknown_answers,
          &Counters::deliveries, &Counters::deliveries_acked, &Counters::deliveries_nacked})
      this->*field += other.*field;
    return *this;
  }
};

struct DurableState {
  Identity identity;
  PublishQueue queue;
  protocol::Backoff backoff;  // told of attempts and connections by whoever makes the links
  Counters counters;
  SessionMemory session;
  std::optional<protocol::LinkHealth> health_before;  // of the last connection, where it is watched
};

}  // namespace sink::client
