/* The client library for C: a durable connection to a Sink server, with the power of the C++ one
 * (sink_client.h, docs/sdk.md). Plain C99; of the project it needs sink_types.h, sink_requests.h,
 * sink_channels.h.
 *
 * A connection runs on the caller's libuv loop, or on a loop and a thread of its own:
 *
 *                         the caller's loop              its own thread
 *   functions             on the loop's thread           on any thread
 *   callbacks             on the loop's thread           on the connection's thread
 *   sink_connection_free  anywhere, also in a callback   on any thread but the connection's
 *   SIGPIPE               the process must ignore it     nothing to do
 *
 * On the caller's loop: keep running it until on_closed, or after sink_connection_free() until it
 * has no handles left. Bytes and strings in a notice are valid until the callback returns or
 * sink_publish() is called, whichever is first. Strings in options are copied.
 *
 * Structs may grow at their end: set them up with their _init, which writes `size` as the caller
 * was compiled with it; a newer library touches nothing behind it.
 * Numbers are part of the ABI: never renumber.
 */
#ifndef SINK_H
#define SINK_H

#include <stddef.h>
#include <stdint.h>

#include "sink_channels.h"
#include "sink_requests.h"
#include "sink_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SINK_API __attribute__((visibility("default")))
#else
#define SINK_API
#endif

struct uv_loop_s;
typedef struct sink_connection sink_connection;

/* What each option means is told in client/options.h and docs/sdk.md. */
typedef struct sink_options {
  size_t size;
  const char* server;           /* "HOST:PORT", "[IPV6]:PORT" or "unix:PATH" */
  const char* certificate_file; /* PEM, like the next two; all three NULL: plaintext */
  const char* private_key_file;
  const char* ca_file;
  const char* crl_file;            /* PEM; NULL: none */
  const char* server_name;         /* in the server's certificate; NULL: the host of server */
  const char* application_version; /* NULL: "" */
  const char* state_file;          /* keeps the instance ids, and beside it in FILE.session the
                                    * session and the last server; NULL: forgotten */
  uint64_t window;
  uint64_t queue_events;
  uint64_t queue_bytes;
  uint64_t queue_age_ms; /* 0: no limit */
  sink_overflow overflow;
  uint64_t keepalive_ms;
  uint64_t connect_timeout_ms;
  uint64_t backoff_base_ms;
  uint64_t backoff_max_ms;
  uint32_t backoff_jitter_percent;
  uint32_t attempts_max; /* 0: no bound */
  uint32_t protocol_version;
  /* In place of state_file: the instance ids in the caller's own store. Called on another thread,
   * one at a time for a connection. */
  void* store_user;
  /* Writes at most `size` bytes; answers the value's size, -1 if there is none, -2 on failure. */
  int (*store_get)(void* user, const char* key, char* value, size_t size);
  /* Answers 0 once the value would survive a power cut, anything else on failure. */
  int (*store_put)(void* user, const char* key, const char* value, size_t size);
  const char* outbox_directory; /* keeps what is published over a loss of power; NULL: nothing */
  uint64_t outbox_bytes;
  /* 1: sink_close() leaves the session to the next run, where it can be kept; 0: it says goodbye */
  uint32_t keep_session;
  /* The key under which the store keeps the session and the last server, too: such as
   * "sink.session", up to 256 KiB. The store must tell keys apart. NULL: it keeps the ids only. */
  const char* store_session_key;
  /* More servers; the connection is with one at a time. Those without an address call. */
  const sink_server* more_servers;
  size_t more_servers_count;
  /* Where servers may call, numeric, with certificates only: "0.0.0.0:2021". NULL: nowhere. Then
   * `server` may be NULL, if server_name says who calls. */
  const char* listen;
  uint64_t look_around_ms; /* how often another server is tried beside the present one; 0: never */
  const sink_channels* channels; /* copied; NULL: no channels, what comes for one is a delivery */
  uint32_t links;      /* connections at a time to the one server, 1 to 16; not with an outbox */
  uint64_t recycle_ms; /* how often the slowest of several is made anew; 0: never */
} sink_options;

/* Any may be NULL. None may return by longjmp or by an exception. */
typedef struct sink_callbacks {
  size_t size;
  void* user; /* given to each */
  void (*on_state)(void* user, const sink_state_change* change);
  void (*on_connected)(void* user, const sink_connected* connected);
  void (*on_disconnected)(void* user, const sink_disconnection* lost);
  void (*on_refused)(void* user, const sink_refusal* refusal);
  void (*on_fallback)(void* user);
  void (*on_answer)(void* user, const sink_answer* answer);
  void (*on_delivery)(void* user, const sink_delivery* delivery);
  void (*on_dropped)(void* user, const sink_dropped* dropped);
  void (*on_room)(void* user);
  void (*on_closed)(void* user);
  /* These events survive a loss of power now. */
  void (*on_kept)(void* user, const uint64_t* tags, size_t count);
  /* What the earlier run left could not be used, or what this one leaves cannot be kept: a new
   * session begins, in which things may come twice. Nothing is lost. */
  void (*on_session_not_kept)(void* user, sink_bytes reason);
  /* The end of a request that was taken: exactly once for each. */
  void (*on_reply)(void* user, const sink_reply* reply);
  /* With several servers: what became of another one that called or was tried. */
  void (*on_contest)(void* user, const sink_contest* contest);
  /* Of a service that sink_expose() was called for. */
  void (*on_service)(void* user, const sink_service_notice* notice);
  /* With several links: one but the first came up or went down. */
  void (*on_link)(void* user, const sink_link_change* change);
} sink_callbacks;

typedef struct sink_counters {
  size_t size;
  uint64_t handshakes;
  uint64_t resumed;
  uint64_t publishes;
  uint64_t republishes;
  uint64_t acked;
  uint64_t nacked;
  uint64_t overflowed;
  uint64_t aged_out;
  uint64_t given_up;
  uint64_t late_answers;
  uint64_t unknown_answers;
  uint64_t deliveries;
  uint64_t deliveries_acked;
  uint64_t deliveries_nacked;
} sink_counters;

SINK_API void sink_options_init_sized(sink_options* options, size_t size);
SINK_API void sink_callbacks_init_sized(sink_callbacks* callbacks, size_t size);
SINK_API void sink_counters_init_sized(sink_counters* counters, size_t size);
SINK_API void sink_subscription_init_sized(sink_subscription* subscription, size_t size);
SINK_API void sink_place_init_sized(sink_place* place, size_t size);
SINK_API void sink_service_init_sized(sink_service* service, size_t size);
SINK_API void sink_channels_init_sized(sink_channels* channels, size_t size);
SINK_API void sink_channel_target_init_sized(sink_channel_target* target, size_t size);
#define sink_options_init(options) sink_options_init_sized((options), sizeof *(options))
#define sink_callbacks_init(callbacks) sink_callbacks_init_sized((callbacks), sizeof *(callbacks))
#define sink_counters_init(counters) sink_counters_init_sized((counters), sizeof *(counters))
#define sink_subscription_init(wanted) sink_subscription_init_sized((wanted), sizeof *(wanted))
#define sink_place_init(place) sink_place_init_sized((place), sizeof *(place))
#define sink_service_init(service) sink_service_init_sized((service), sizeof *(service))
#define sink_channels_init(channels) sink_channels_init_sized((channels), sizeof *(channels))
#define sink_channel_target_init(to) sink_channel_target_init_sized((to), sizeof *(to))

/* Nothing happens before sink_start(). `loop` NULL: a thread of its own. NULL is an error: one
 * sentence that says what to change is in `error`, cut where it ends. */
SINK_API sink_connection* sink_connection_new(struct uv_loop_s* loop, const sink_options* options,
                                              const sink_callbacks* callbacks, char* error,
                                              size_t error_size);
/* Ends at once, without further callbacks; with its own thread, waits for it. NULL is ignored. */
SINK_API void sink_connection_free(sink_connection* connection);

SINK_API sink_result sink_start(sink_connection* connection);
SINK_API sink_result sink_publish(sink_connection* connection, const sink_event* event,
                                  uint64_t tag);
/* With its own thread: SINK_OK says that the answer is on its way, whether or not it is wanted. */
SINK_API sink_result sink_ack(sink_connection* connection, sink_delivery_id id);
SINK_API sink_result sink_nack(sink_connection* connection, sink_delivery_id id, sink_bytes machine,
                               sink_bytes human);
/* The requests of version 1. SINK_OK: on_reply will tell, once. SINK_CLOSED: failed or closed.
 * SINK_NOT_TAKEN: not connected, the server speaks version 0, or 32 replies are awaited; with its
 * own thread only the last of these, for whether it is connected is seen on the thread. Tags are
 * below 2^63; others are not taken. */
SINK_API sink_result sink_subscribe(sink_connection* connection,
                                    const sink_subscription* subscription, uint64_t tag);
/* With whatever it still holds. */
SINK_API sink_result sink_unsubscribe(sink_connection* connection, const char* name, uint64_t tag);
SINK_API sink_result sink_read_log(sink_connection* connection, const sink_place* place,
                                   uint64_t tag);
/* By name: the version or its end may be left out, com.example.chat@1. */
SINK_API sink_result sink_lookup(sink_connection* connection, const char* name, uint64_t tag);
SINK_API sink_result sink_lookup_uuid(sink_connection* connection, const sink_uuid* uuid,
                                       uint64_t tag);
/* Offers a service from now on, on every connection to a server of version 1: the lease is
 * refreshed, and it is exposed again whenever it is lost; on_service tells. By the name of one that
 * is offered already: replaces it. SINK_NOT_TAKEN: 32 are offered, or it is over. */
SINK_API sink_result sink_expose(sink_connection* connection, const sink_service* service);
/* Ends it; on_service tells when the server knows. SINK_NOT_TAKEN: none of that name is offered;
 * with its own thread that is not told. */
SINK_API sink_result sink_withdraw(sink_connection* connection, const char* name);
/* Requests, too, for connections with options.channels. The server's end of a channel that this
 * client closes comes by on_close, when the other end has had everything. What the server has not
 * taken by now is lost, and counted there: on_buffered_amount_low can tell when nothing waits. */
SINK_API sink_result sink_open_channel(sink_connection* connection,
                                       const sink_channel_target* target, uint64_t tag);
SINK_API sink_result sink_close_channel(sink_connection* connection, const sink_uuid* channel,
                                        uint64_t tag);
/* Takes a copy, also while nothing is connected. SINK_QUEUE_FULL: on_buffered_amount_low tells when
 * to go on. SINK_CLOSED: no such channel, it takes no more, or the connection is over. */
SINK_API sink_result sink_send(sink_connection* connection, const sink_uuid* channel,
                               sink_bytes message);
/* Bytes that sink_send() took and the server has not taken; 0 of a channel that there is not. */
SINK_API size_t sink_buffered_amount(const sink_connection* connection, const sink_uuid* channel);
/* Writes now what would be written at the end of the loop turn; without effect with a thread. */
SINK_API void sink_flush(sink_connection* connection);
/* Sends what is buffered, says goodbye; on_closed is the last callback. */
SINK_API void sink_close(sink_connection* connection);

SINK_API sink_state sink_connection_state(const sink_connection* connection);
SINK_API size_t sink_unanswered(const sink_connection* connection);
SINK_API void sink_read_counters(const sink_connection* connection, sink_counters* counters);

/* Writes at most `count` of them; answers how many there are, 0 where options.links is 1. With its
 * own thread only from callbacks. */
SINK_API size_t sink_read_links(const sink_connection* connection, sink_link* links, size_t count);

SINK_API const char* sink_state_name(sink_state state);
SINK_API const char* sink_drop_reason_name(sink_drop_reason reason);
SINK_API const char* sink_channel_end_name(sink_channel_end end);
SINK_API const char* sink_version(void);

#ifdef __cplusplus
}
#endif

#endif
