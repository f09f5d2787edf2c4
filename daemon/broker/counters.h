// Every counter of the engine, declared once: status, metrics and tests iterate these lists.
// Process-lifetime; never reset.
#pragma once

#include <cstdint>

namespace sink::broker {

// X(name, help)
#define SINKD_COUNTERS(X)                                                              \
  X(events_received, "Events received from clients, in PUBLISH or BATCH")               \
  X(events_accepted, "Events given a position")                                        \
  X(events_duplicate, "Republished events acknowledged again")                         \
  X(events_unrouted, "Events that matched no subscription")                            \
  X(events_delivered, "First deliveries sent")                                         \
  X(events_redelivered, "Repeated deliveries sent")                                    \
  X(events_acked, "Deliveries acknowledged by consumers")                              \
  X(events_nacked, "Deliveries refused by consumers")                                  \
  X(events_timed_out, "Deliveries not answered in time")                               \
  X(events_expired, "Events expired before delivery")                                  \
  X(events_quarantined, "Events put into quarantine")                                  \
  X(events_unreadable, "Events quarantined because the log is damaged")                \
  X(answers_ignored, "ACKs and NACKs for message ids that were not in flight")         \
  X(answers_late, "ACKs that came after their delivery had timed out")                 \
  X(connections_accepted, "Connections past the handshake")                            \
  X(connections_taken_over, "Connections replaced by a newer one of the same client")  \
  X(protocol_errors, "Connections closed for a protocol error")                        \
  X(bytes_avoided, "Event bytes never written because everyone had settled in time")   \
  X(blocks_read, "Pieces of the log read back for delivery")                           \
  X(reads_failed, "Reads of the log that the disk did not answer; they are repeated")  \
  X(pings_received, "PING frames received")                                            \
  X(batches_received, "BATCH frames received")                                         \
  X(batches_sent, "BATCH frames sent by uplinks")                                       \
  X(sessions_resumed, "Sessions that went on with another connection")                 \
  X(sessions_expired, "Sessions whose client did not come back in time")               \
  X(controls_refused, "Control requests answered with an error")                       \
  X(pages_sent, "Pages of the log sent to clients that read from a place")             \
  X(events_paged, "Events on those pages")                                             \
  X(calls_made, "Calls of clients that listen")                                        \
  X(calls_failed, "Calls that led to no connection")                                   \
  X(services_exposed, "Services that clients began to expose")                         \
  X(services_lapsed, "Services whose owner did not refresh their lease")               \
  X(services_withdrawn, "Services withdrawn by their owner or an operator")            \
  X(channels_opened, "Channels opened")                                                 \
  X(channels_closed, "Channels that are over, with every message delivered")           \
  X(channel_gaps, "Channels that go on behind messages which the log has lost")         \
  X(rate_pauses, "Times that a client was faster than its policy, and not read")

// Those that are one metric with a label: X(name, value of the label).
#define SINKD_HANDSHAKES(X)                              \
  X(handshakes_connected, "connected")                   \
  X(handshakes_hello, "hello_new_client")                \
  X(handshakes_mismatch, "instance_id_mismatch")         \
  X(handshakes_quarantined, "quarantined")               \
  X(handshakes_protocol_version, "protocol_version")     \
  X(handshakes_application_version, "application_version")

#define SINKD_REFUSALS(X)                                \
  X(events_refused_storage_full, "storage_full")         \
  X(events_refused_offset, "offset_regressed")           \
  X(refused_unrouted, "unrouted")                        \
  X(refused_too_large, "too_large")                      \
  X(refused_no_such_channel, "no_such_channel")          \
  X(refused_channel_overflow, "channel_overflow")

#define SINKD_DROPS(X)                                   \
  X(dropped_by_policy, "nack_policy")                    \
  X(dropped_by_operator, "operator")                     \
  X(dropped_subscription_removed, "subscription_removed") \
  X(dropped_client_adopted, "client_adopted")            \
  X(dropped_client_forgotten, "client_forgotten")

struct Counters {
#define SINKD_DECLARE(name, text) uint64_t name = 0;
  SINKD_COUNTERS(SINKD_DECLARE)
  SINKD_HANDSHAKES(SINKD_DECLARE)
  SINKD_REFUSALS(SINKD_DECLARE)
  SINKD_DROPS(SINKD_DECLARE)
#undef SINKD_DECLARE
  uint64_t events_refused = 0;  // the sum of SINKD_REFUSALS
  uint64_t events_dropped = 0;  // the sum of SINKD_DROPS
};

}  // namespace sink::broker
