// Every counter of the engine, declared once: status, metrics and tests iterate this list.
// Process-lifetime; never reset.
#pragma once

#include <cstdint>

namespace sink::broker {

// X(name, help)
#define SINKD_COUNTERS(X)                                                              \
  X(events_received, "PUBLISH frames received from clients")                           \
  X(events_accepted, "Events given a position")                                        \
  X(events_duplicate, "Republished events acknowledged again")                         \
  X(events_unrouted, "Events that matched no subscription")                            \
  X(events_refused, "Events answered with a NACK by the broker")                       \
  X(events_refused_storage_full, "Events refused because the store is full")           \
  X(events_refused_offset, "Events refused because their offset went backwards")       \
  X(events_delivered, "First deliveries sent")                                         \
  X(events_redelivered, "Repeated deliveries sent")                                    \
  X(events_acked, "Deliveries acknowledged by consumers")                              \
  X(events_nacked, "Deliveries refused by consumers")                                  \
  X(events_timed_out, "Deliveries not answered in time")                               \
  X(events_expired, "Events expired before delivery")                                  \
  X(events_dropped, "Events dropped by policy or by an operator")                      \
  X(events_quarantined, "Events put into quarantine")                                  \
  X(events_unreadable, "Events quarantined because the log is damaged")                \
  X(answers_ignored, "ACKs and NACKs for message ids that were not in flight")         \
  X(answers_late, "ACKs that came after their delivery had timed out")                 \
  X(connections_accepted, "Connections past the handshake")                            \
  X(connections_taken_over, "Connections replaced by a newer one of the same client")  \
  X(protocol_errors, "Connections closed for a protocol error")                        \
  X(handshakes_connected, "Handshakes answered with connected")                        \
  X(handshakes_hello, "Handshakes answered with hello new client")                     \
  X(handshakes_mismatch, "Handshakes answered with instance id mismatch")              \
  X(handshakes_quarantined, "Handshakes answered with quarantined")                    \
  X(handshakes_protocol_version, "Handshakes with an unsupported protocol version")    \
  X(handshakes_application_version, "Handshakes with an unsupported application version") \
  X(bytes_avoided, "Event bytes never written because everyone had settled in time")   \
  X(blocks_read, "Pieces of the log read back for delivery")                           \
  X(reads_failed, "Reads of the log that the disk did not answer; they are repeated")  \
  X(pings_received, "PING frames received")

struct Counters {
#define SINKD_DECLARE(name, help) uint64_t name = 0;
  SINKD_COUNTERS(SINKD_DECLARE)
#undef SINKD_DECLARE
};

}  // namespace sink::broker
