/* What sink.h is told and tells: events, results and states, and the notices of its callbacks.
 * Plain data, no function. Plain C99, no other header of the project. Bytes and strings in a notice
 * are valid until the callback returns or sink_publish() is called, whichever is first. Numbers are
 * part of the ABI: never renumber.
 */
#ifndef SINK_TYPES_H
#define SINK_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef struct sink_bytes {
  const char* data;
  size_t size;
} sink_bytes;

typedef struct sink_event {
  uint64_t event_type_id;
  uint64_t schema_version;
  sink_bytes key;
  uint64_t offset;
  uint64_t timestamp;
  sink_bytes event_data;
} sink_event;

typedef enum sink_result {
  SINK_OK = 0,
  SINK_QUEUE_FULL = 1,       /* nothing was taken; on_room tells when to go on */
  SINK_TOO_LARGE = 2,        /* the encoded event does not fit a frame of 65,535 bytes */
  SINK_CLOSED = 3,           /* or failed: nothing is taken any more */
  SINK_UNKNOWN_DELIVERY = 4, /* answered before, or of an earlier session */
  SINK_NO_THREAD = 5,        /* sink_start: no descriptor or no thread is left */
  SINK_NOT_TAKEN = 6         /* a request that cannot be asked now; nothing was taken */
} sink_result;

typedef enum sink_state {
  SINK_STATE_DISCONNECTED = 0, /* before sink_start(), and while it waits for the next attempt */
  SINK_STATE_CONNECTING = 1,
  SINK_STATE_CONNECTED = 2,
  SINK_STATE_RECONNECTING = 3,
  SINK_STATE_FAILED = 4, /* for good: the attempts are used up, or the options are wrong */
  SINK_STATE_CLOSED = 5
} sink_state;

typedef enum sink_overflow { SINK_DROP_OLDEST = 0, SINK_REFUSE = 1 } sink_overflow;

typedef enum sink_drop_reason {
  SINK_DROP_OVERFLOW = 0,
  SINK_DROP_AGED_OUT = 1,
  SINK_DROP_FAILED = 2,
  SINK_DROP_CLOSED = 3
} sink_drop_reason;

typedef struct sink_state_change {
  sink_state from;
  sink_state to;
  sink_bytes reason;
} sink_state_change;

typedef struct sink_connected {
  uint32_t server_instance_id;
  uint32_t protocol_version;
  int new_client;          /* the server had not known us before */
  int resumed;             /* the session of an earlier connection goes on */
  const char* tls_version; /* such as "TLSv1.3"; "" is plaintext */
  const char* tls_cipher;
  sink_bytes server; /* of several: its address in the options, else its name */
  int delivers;      /* it had something for us when it took the connection */
} sink_connected;

typedef struct sink_link_change {
  uint32_t number; /* from 1 */
  int up;
  sink_bytes reason;
} sink_link_change;

/* One of several links. Never grows. */
typedef struct sink_link {
  uint32_t number;
  sink_state state;
  uint64_t since_ms;   /* how long ago it came up, or went down */
  uint64_t median_us;  /* from asking to answer in the last five minutes; 0: not measured */
  uint64_t worst_us;   /* the same */
  uint64_t resumed;    /* how often its session went on over a new connection */
  uint64_t in_flight;  /* events sent and not answered */
  uint64_t unanswered; /* those among them, and those that wait */
} sink_link;

/* A server besides the first. */
typedef struct sink_server {
  const char* address; /* as options.server; NULL: it is not connected to, it calls */
  const char* name;    /* in its certificate; NULL: the host of its address */
} sink_server;

typedef enum sink_contest_outcome {
  SINK_TOOK_OVER = 0,
  SINK_TURNED_AWAY = 1,
  SINK_REFUSED = 2,
  SINK_LOST = 3
} sink_contest_outcome;

/* Another server has called, or was tried, while the connection was with one. */
typedef struct sink_contest {
  sink_bytes server;
  sink_contest_outcome outcome;
  sink_bytes reason;
} sink_contest;

typedef struct sink_disconnection {
  const char* stage; /* how far it had come, such as "connecting" */
  sink_bytes reason;
  uint64_t retry_in_ms; /* 0: the connection has failed, or waits for a server to call */
} sink_disconnection;

typedef struct sink_refusal {
  uint32_t code;    /* the response of the protocol: 2 to 5 */
  const char* name; /* such as "quarantined" */
  sink_bytes machine;
  sink_bytes human;
  uint64_t retry_in_ms; /* at least what the server asked for; 0: the connection has failed */
} sink_refusal;

typedef struct sink_answer {
  uint64_t tag; /* as given to sink_publish() */
  int acked;
  sink_bytes machine; /* NACK only, like human */
  sink_bytes human;
  sink_event event;
} sink_answer;

typedef struct sink_dropped_event {
  uint64_t tag;
  int sent; /* the server may have accepted it nevertheless */
  sink_event event;
} sink_dropped_event;

typedef struct sink_dropped {
  sink_drop_reason reason;
  size_t count; /* at least 1 */
  const sink_dropped_event* events; /* oldest first */
} sink_dropped;

typedef struct sink_delivery_id {
  uint32_t connection;
  uint16_t message_id;
} sink_delivery_id;

typedef struct sink_delivery {
  sink_delivery_id id;
  sink_event event;
  sink_bytes subscription; /* version 1, like the next two */
  sink_bytes source;
  uint64_t attempt; /* above 1: it was sent before */
} sink_delivery;

#endif
