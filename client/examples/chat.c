/* Two programs that talk over a durable channel: one offers a service, the other opens a channel to
 * it, or goes on with the one that an earlier run has left. Either may go away, be killed and come
 * back, and so may the server: what was said waits. Keeps its instance ids in chat.state.
 *
 *   chat offer SERVICE SERVER CERTIFICATE KEY CA     SERVICE as com.example.chat@1.0.0
 *   chat call SERVICE SERVER CERTIFICATE KEY CA
 *
 * Each line of the standard input is sent on every channel, and the first waits until there is one;
 * what comes is printed behind the other end's name. The line "/close" closes the channels; at its
 * end the program waits until the server has taken everything, and leaves the channels to its next
 * run.
 *
 * Exit status: 0 closed in order, 1 failed or refused, 64 usage.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/sink.h"

#define TALKS_MAX 16
enum { OPENING = 1, CLOSING = 2 }; /* tags of requests */

struct chat {
  sink_connection* connection;
  const char* service;
  int offers;
  pthread_mutex_t mutex; /* guards what follows */
  pthread_cond_t changed;
  sink_uuid talks[TALKS_MAX];
  size_t count;
  int closing; /* the channels are to be closed */
  int failed;
  int closed;
};

static void begin_change(struct chat* chat) { pthread_mutex_lock(&chat->mutex); }

static void end_change(struct chat* chat) {
  pthread_cond_broadcast(&chat->changed);
  pthread_mutex_unlock(&chat->mutex);
}

/* ---- callbacks: on the connection's thread ---- */

static void on_state(void* user, const sink_state_change* change) {
  struct chat* chat = user;
  fprintf(stderr, "%s -> %s: %.*s\n", sink_state_name(change->from), sink_state_name(change->to),
          (int)change->reason.size, change->reason.data);
  if (change->to != SINK_STATE_FAILED) return;
  begin_change(chat);
  chat->failed = 1;
  end_change(chat);
}

static void on_refused(void* user, const sink_refusal* refusal) {
  (void)user;
  fprintf(stderr, "refused (%s): %.*s; trying again in %" PRIu64 " ms\n", refusal->name,
          (int)refusal->human.size, refusal->human.data, refusal->retry_in_ms);
}

static void on_service(void* user, const sink_service_notice* notice) {
  static const char* const changes[] = {"exposed", "lapsed", "refused", "withdrawn"};
  (void)user;
  printf("%s %.*s %.*s\n", changes[notice->change], (int)notice->name.size, notice->name.data,
         (int)notice->text.size, notice->text.data);
}

static void open_channel(struct chat* chat) {
  sink_channel_target target;
  sink_channel_target_init(&target);
  target.service = chat->service;
  sink_open_channel(chat->connection, &target, OPENING); /* where it is not taken, on_listed comes */
}

/* Asked for again after each connect, until they have ended. */
static void close_channels(struct chat* chat) {
  size_t i;
  for (i = 0; i < chat->count; ++i)
    sink_close_channel(chat->connection, &chat->talks[i], CLOSING);
}

static void on_reply(void* user, const sink_reply* reply) {
  struct chat* chat = user;
  if (reply->code == SINK_REPLY_DONE || reply->code == SINK_REPLY_NONE) return;
  fprintf(stderr, "refused: %.*s\n", (int)reply->text.size, reply->text.data);
  if (reply->tag != OPENING) return;
  begin_change(chat);
  chat->failed = 1;
  end_change(chat);
}

static void on_listed(void* user) {
  struct chat* chat = user;
  begin_change(chat);
  if (chat->closing)
    close_channels(chat);
  else if (chat->count == 0 && !chat->offers)
    open_channel(chat);
  end_change(chat);
}

static void on_open(void* user, const sink_channel* channel) {
  struct chat* chat = user;
  int known;
  begin_change(chat);
  known = chat->count < TALKS_MAX;
  if (known) chat->talks[chat->count++] = channel->id;
  end_change(chat);
  printf("%s %.*s, %" PRIu64 " sent before\n", known ? "open" : "too many", (int)channel->peer.size,
         channel->peer.data, channel->published);
}

static sink_verdict on_message(void* user, const sink_channel* channel, sink_bytes message) {
  (void)user;
  printf("%.*s: %.*s\n", (int)channel->peer.size, channel->peer.data, (int)message.size,
         message.data);
  return SINK_TAKEN; /* the line has left: the standard output is buffered by lines */
}

static void on_buffered_amount_low(void* user, const sink_channel* channel) {
  (void)channel;
  begin_change(user);
  end_change(user);
}

static void on_queue_overflow(void* user, const sink_channel* channel, size_t waiting) {
  (void)user;
  fprintf(stderr, "%zu messages wait for %.*s\n", waiting, (int)channel->peer.size,
          channel->peer.data);
}

static void on_error(void* user, const sink_channel* channel, sink_bytes message) {
  (void)user;
  (void)channel;
  fprintf(stderr, "too large, and not sent: %.*s\n", (int)message.size, message.data);
}

static void on_close(void* user, const sink_channel* channel, sink_channel_end why, size_t lost) {
  struct chat* chat = user;
  size_t i;
  printf("over %.*s: %s, %zu lost\n", (int)channel->peer.size, channel->peer.data,
         sink_channel_end_name(why), lost);
  begin_change(chat);
  for (i = 0; i < chat->count; ++i)
    if (memcmp(&chat->talks[i], &channel->id, sizeof channel->id) == 0)
      chat->talks[i] = chat->talks[--chat->count];
  end_change(chat);
}

static void on_closed(void* user) {
  struct chat* chat = user;
  begin_change(chat);
  chat->closed = 1;
  end_change(chat);
}

/* ---- the program's own thread; all with the mutex held ---- */

static void wait_for_change(struct chat* chat) {
  pthread_cond_wait(&chat->changed, &chat->mutex);
}

/* On each channel that there is when its turn comes. */
static void say(struct chat* chat, sink_bytes line) {
  size_t i;
  while (chat->count == 0 && !chat->failed) wait_for_change(chat);
  for (i = 0; i < chat->count; ++i)
    while (i < chat->count && !chat->failed &&
           sink_send(chat->connection, &chat->talks[i], line) == SINK_QUEUE_FULL)
      wait_for_change(chat);
}

static int is_taken(const struct chat* chat) {
  size_t i;
  for (i = 0; i < chat->count; ++i)
    if (sink_buffered_amount(chat->connection, &chat->talks[i]) > 0) return 0;
  return 1;
}

static void talk(struct chat* chat) {
  char line[1024];
  while (!chat->closing && fgets(line, sizeof line, stdin) != NULL) {
    sink_bytes text;
    text.data = line;
    text.size = strcspn(line, "\n");
    pthread_mutex_lock(&chat->mutex);
    if (strcmp(line, "/close\n") == 0)
      chat->closing = 1;
    else if (text.size > 0)
      say(chat, text);
    pthread_mutex_unlock(&chat->mutex);
  }
  pthread_mutex_lock(&chat->mutex);
  while (!chat->failed && !is_taken(chat)) wait_for_change(chat);
  if (chat->closing) close_channels(chat);
  while (!chat->failed && chat->closing && chat->count > 0) wait_for_change(chat);
  pthread_mutex_unlock(&chat->mutex);
}

static int usage(void) {
  fprintf(stderr, "usage: chat offer|call SERVICE SERVER CERTIFICATE KEY CA\n");
  return 64;
}

int main(int argc, char** argv) {
  struct chat chat = {NULL, NULL, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                      {{{0}}}, 0, 0, 0, 0};
  sink_options options;
  sink_callbacks callbacks;
  sink_channels channels;
  char error[256];
  if (argc != 7) return usage();
  chat.offers = strcmp(argv[1], "offer") == 0;
  if (!chat.offers && strcmp(argv[1], "call") != 0) return usage();
  chat.service = argv[2];
  setvbuf(stdout, NULL, _IOLBF, 0);
  sink_channels_init(&channels);
  channels.low_bytes = 0; /* low is when the server has taken everything */
  channels.user = &chat;
  channels.on_open = on_open;
  channels.on_listed = on_listed;
  channels.on_message = on_message;
  channels.on_buffered_amount_low = on_buffered_amount_low;
  channels.on_queue_overflow = on_queue_overflow;
  channels.on_error = on_error;
  channels.on_close = on_close;
  sink_options_init(&options);
  options.server = argv[3];
  options.certificate_file = argv[4];
  options.private_key_file = argv[5];
  options.ca_file = argv[6];
  options.state_file = "chat.state";
  options.application_version = "example-1";
  options.backoff_base_ms = 200;
  options.channels = &channels;
  sink_callbacks_init(&callbacks);
  callbacks.user = &chat;
  callbacks.on_state = on_state;
  callbacks.on_refused = on_refused;
  callbacks.on_service = on_service;
  callbacks.on_reply = on_reply;
  callbacks.on_closed = on_closed;
  chat.connection = sink_connection_new(NULL, &options, &callbacks, error, sizeof error);
  if (chat.connection == NULL) {
    fprintf(stderr, "%s\n", error);
    return 64;
  }
  if (chat.offers) {
    sink_service service;
    sink_service_init(&service);
    service.name = chat.service;
    service.ttl_ms = 3600000; /* its channels end with it: an hour to come back after a crash */
    service.is_public = 1;
    if (sink_expose(chat.connection, &service) != SINK_OK) return 1;
  }
  if (sink_start(chat.connection) != SINK_OK) return 1;
  talk(&chat);
  sink_close(chat.connection);
  pthread_mutex_lock(&chat.mutex);
  while (!chat.closed) wait_for_change(&chat);
  pthread_mutex_unlock(&chat.mutex);
  sink_connection_free(chat.connection);
  return chat.failed;
}
