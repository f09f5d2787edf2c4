/* What a client may ask of a server, and what comes back: a subscription of its own, its end, a
 * page of the server's log, services that it offers to others or looks for. Plain data, no
 * function; of the project it needs sink_types.h only. What each request means and what a server
 * allows is told in docs/protocol.md, section 8.
 * Pointers in a request need to live for the call; in a reply, until the callback returns.
 * Numbers are part of the ABI: never renumber.
 */
#ifndef SINK_REQUESTS_H
#define SINK_REQUESTS_H

#include "sink_types.h"

/* Inclusive. */
typedef struct sink_event_types {
  uint64_t first;
  uint64_t last;
} sink_event_types;

/* Which events. A list of none means all that the server's policy grants; at most 64 of each. */
typedef struct sink_selection {
  const sink_event_types* event_types;
  size_t event_types_count;
  const char* const* sources; /* globs of client_ids, like the next up to 255 bytes each */
  size_t sources_count;
  const char* const* keys; /* globs */
  size_t keys_count;
} sink_selection;

/* A durable subscription of this client; of the same name: it is changed. Set up with
 * sink_subscription_init(); 0 means the server's default. */
typedef struct sink_subscription {
  size_t size;
  const char* name; /* 1 to 128 letters, digits and . _ - : @ */
  sink_selection selection;
  uint32_t any_order; /* 1: a refused event holds back no other */
  uint32_t in_flight; /* at most 4095 */
  uint32_t ack_timeout_ms;
} sink_subscription;

typedef enum sink_place_from {
  SINK_FROM_POSITION = 0, /* events behind `position` */
  SINK_FROM_EARLIEST = 1, /* all that is retained */
  SINK_FROM_TIME = 2,     /* events accepted at `time_ms` or later, to within a second */
  SINK_FROM_END = 3       /* only what comes from now on */
} sink_place_from;

/* Where to read the log, and how much. Set up with sink_place_init(). */
typedef struct sink_place {
  size_t size;
  sink_place_from from;
  uint64_t position; /* the last one that the client has */
  uint64_t time_ms;  /* Unix time */
  sink_selection selection;
  uint32_t bytes_max; /* of the page's events; 0: 60,000 */
  uint32_t wait_ms;   /* for a first event, where there is none yet; at most 30,000 */
} sink_place;

/* 16 bytes that name a service for as long as it exists. */
typedef struct sink_uuid {
  uint8_t bytes[16];
} sink_uuid;

/* A service that this client offers to others. Set up with sink_service_init(). */
typedef struct sink_service {
  size_t size;
  const char* name; /* with version, such as com.example.chat@1.0.0 */
  uint32_t ttl_ms;  /* of the lease, which the library refreshes: 1,000 to 86,400,000 */
  sink_bytes metadata; /* at most 4,096 bytes */
  uint32_t is_public;  /* 1: found by its name; 0: by its uuid only */
} sink_service;

typedef enum sink_service_change {
  SINK_SERVICE_EXPOSED = 0,
  SINK_SERVICE_LAPSED = 1,   /* the lease has ended; it is exposed again by itself */
  SINK_SERVICE_REFUSED = 2,  /* tried again later, or with the next connection */
  SINK_SERVICE_WITHDRAWN = 3 /* for good: by sink_withdraw(), or by the server's operator */
} sink_service_change;

typedef struct sink_found_service {
  sink_bytes name; /* with version */
  sink_uuid uuid;
  sink_bytes owner; /* its client_id */
  sink_bytes metadata;
  uint32_t is_public;
  uint32_t expires_in_ms;
} sink_found_service;

/* Newest version first. */
typedef struct sink_found_services {
  const sink_found_service* services;
  size_t count;
  uint32_t left_out; /* as compatible as these, for which there was no room */
} sink_found_services;

typedef enum sink_reply_code {
  SINK_REPLY_DONE = 0,
  SINK_REPLY_UNKNOWN_KIND = 1, /* the server is older than the request */
  SINK_REPLY_NOT_ALLOWED = 2,
  SINK_REPLY_INVALID = 3,
  SINK_REPLY_NOT_FOUND = 4,
  SINK_REPLY_EXISTS = 5,
  SINK_REPLY_TOO_MANY = 6,
  SINK_REPLY_TRIMMED = 7,     /* `earliest` says what there still is */
  SINK_REPLY_UNAVAILABLE = 8, /* just now: ask again */
  /* No answer came, or the server could not be asked: not connected, or in version 0. Whether it
   * has done it is not known; asking again is safe. */
  SINK_REPLY_NONE = 256
} sink_reply_code;

typedef struct sink_paged_event {
  uint64_t position;
  uint64_t accepted_ms; /* Unix time, to within a second */
  sink_bytes source;    /* the publisher's client_id; empty: no longer known */
  sink_event event;
} sink_paged_event;

typedef enum sink_missing_reason {
  SINK_MISSING_DAMAGED = 0,  /* the server's disk has lost them */
  SINK_MISSING_TOO_LARGE = 1 /* for a page; a subscription delivers it */
} sink_missing_reason;

typedef struct sink_missing {
  uint64_t first;
  uint64_t end; /* the position behind the last of them */
  sink_missing_reason reason;
} sink_missing;

/* Every event that was asked for from the place up to `position`, or what is missing. */
typedef struct sink_page {
  const sink_paged_event* events; /* in the order of their positions */
  size_t events_count;
  const sink_missing* missing;
  size_t missing_count;
  uint64_t position; /* of the last event that was looked at: where the next page begins */
  uint64_t end;      /* behind the last event in the log */
} sink_page;

typedef struct sink_reply {
  uint64_t tag; /* as given to the request */
  sink_reply_code code;
  sink_bytes text;       /* for people; empty where it is done */
  uint64_t earliest;     /* with SINK_REPLY_TRIMMED */
  const sink_page* page; /* of sink_read_log() that is done; else NULL */
  const sink_found_services* found; /* of sink_lookup() that is done; else NULL */
  const struct sink_channel* channel; /* of sink_open_channel() that is done; else NULL */
} sink_reply;

/* What has become of a service that this client offers. */
typedef struct sink_service_notice {
  sink_bytes name;
  sink_service_change change;
  const sink_uuid* uuid; /* the latest; NULL: there was none yet */
  sink_reply_code code;  /* with SINK_SERVICE_REFUSED, like the next */
  sink_bytes text;       /* for people */
} sink_service_notice;

#endif
