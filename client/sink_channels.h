/* Durable channels from C: two clients send each other messages, each in its order, which wait on
 * the server while the other end is away, over any number of connections and restarts of either
 * side. Plain data, no function; of the project it needs sink_types.h and sink_requests.h only.
 * What a server allows is told in docs/protocol.md, section 8; how to use them in docs/sdk.md.
 *
 *   sink_options.channels says that there are channels, with which bounds, and who is told;
 *   sink_open_channel() opens one to a service that somebody exposes; on_open tells of each that
 *   there is: opened by either end, or left by an earlier run;
 *   sink_send() and on_message until on_close: every channel of on_open ends with one on_close.
 *
 * A message that sink_send() took lives in memory until the server has taken it: sink_close() does
 * not wait for that, on_buffered_amount_low tells. Callbacks come as those of sink_callbacks do,
 * and may call what those may. Bytes in them are valid until they return or sink_publish() is
 * called.
 * Numbers are part of the ABI: never renumber.
 */
#ifndef SINK_CHANNELS_H
#define SINK_CHANNELS_H

#include "sink_requests.h"
#include "sink_types.h"

/* The type of the events that messages are: leave it alone where channels are used. "channels". */
#define SINK_CHANNEL_EVENT_TYPE UINT64_C(0x6368616e6e656c73)

/* A channel, as this end sees it. */
typedef struct sink_channel {
  sink_uuid id;
  sink_bytes service; /* what it leads to: the full name */
  sink_uuid service_uuid;
  sink_bytes peer;     /* the client_id of the other end; empty: it was forgotten */
  sink_bytes metadata; /* as it was opened with */
  int is_owner;        /* of the service; else the end that opened it */
  int closing;         /* no message was taken any more when it was told */
  uint64_t published;  /* so many messages of this end had the server taken when it was told: an
                        * application that was killed knows by it which was the last */
} sink_channel;

/* Where a channel is to lead. Set up with sink_channel_target_init(). */
typedef struct sink_channel_target {
  size_t size;
  const char* service;           /* by name, as for sink_lookup(): the newest version that serves */
  const sink_uuid* service_uuid; /* or by uuid: then `service` is NULL */
  sink_bytes metadata;           /* told to the owner of the service: at most 4,096 bytes */
} sink_channel_target;

typedef enum sink_verdict {
  SINK_TAKEN = 0,
  SINK_NOT_NOW = 1 /* it comes again, and holds up those behind it */
} sink_verdict;

typedef enum sink_channel_end {
  SINK_CHANNEL_CLOSED = 0, /* by one of its ends; or it ended while this client was away */
  SINK_CHANNEL_SERVICE_ENDED = 1,
  SINK_CHANNEL_PEER_FORGOTTEN = 2, /* the other end is no client of this server any more */
  /* Not the channel has ended but the connection: it has failed, or is closed. The next one is told
   * of the channel again. */
  SINK_CHANNEL_LEFT = 256
} sink_channel_end;

/* Set up with sink_channels_init(). Of the callbacks any but on_message may be NULL; none may
 * return by longjmp or by an exception. */
typedef struct sink_channels {
  size_t size;
  /* For each channel: */
  uint64_t queue_messages; /* that the server has not taken, like the next; then SINK_QUEUE_FULL */
  uint64_t queue_bytes;    /* one message is always taken */
  uint64_t low_bytes;      /* few: below queue_bytes */
  uint32_t window;         /* messages without an answer: 1 to 4095 */
  uint64_t retry_ms;       /* after a refusal for want of room: 1 to 3,600,000 */
  void* user;              /* given to each callback */
  void (*on_open)(void* user, const sink_channel* channel);
  /* After each connect to a server of version 1: every channel there is has been told, and those
   * that are not there any more have ended. When to open the one that is missing. */
  void (*on_listed)(void* user);
  /* In the order of the other end's sink_send(), each once while the process lives. */
  sink_verdict (*on_message)(void* user, const sink_channel* channel, sink_bytes message);
  /* No more than low_bytes wait, after more had waited or sink_send() had no room. With
   * low_bytes 0: the server has taken everything. */
  void (*on_buffered_amount_low)(void* user, const sink_channel* channel);
  /* So many messages wait here: the server takes none until the other end has taken some, or the
   * connection has given them up for lack of its own room or time. They are tried again. */
  void (*on_queue_overflow)(void* user, const sink_channel* channel, size_t waiting);
  /* A message that no server takes, for it is too large; those behind it go on. */
  void (*on_error)(void* user, const sink_channel* channel, sink_bytes message);
  /* The last of this channel. So many of the messages that sink_send() took have no answer: the
   * server has not taken them, or with SINK_CHANNEL_LEFT perhaps the first of them nevertheless. */
  void (*on_close)(void* user, const sink_channel* channel, sink_channel_end why, size_t lost);
} sink_channels;

#endif
