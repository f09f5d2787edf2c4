/* Publishes events and waits until each is accepted, from a program without an event loop: the
 * connection has a thread of its own. Keeps its instance ids in publish.state.
 *
 *   publish SERVER COUNT [CERTIFICATE KEY CA [LINKS]]
 *
 * Over several links the events have four keys for each link.
 * Exit status: 0 all accepted, 1 some refused or given up, 64 usage.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/sink.h"

struct progress {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t accepted;
  uint64_t lost; /* refused by the server, or given up */
  int room;
  int closed;
};

static unsigned keys = 1;

/* Callbacks come on the connection's thread. */

static void on_state(void* user, const sink_state_change* change) {
  (void)user;
  fprintf(stderr, "%s -> %s: %.*s\n", sink_state_name(change->from), sink_state_name(change->to),
          (int)change->reason.size, change->reason.data);
}

static void on_link(void* user, const sink_link_change* change) {
  (void)user;
  fprintf(stderr, "link %" PRIu32 " is %s: %.*s\n", change->number, change->up ? "up" : "down",
          (int)change->reason.size, change->reason.data);
}

static void on_refused(void* user, const sink_refusal* refusal) {
  (void)user;
  fprintf(stderr, "refused (%s): %.*s; trying again in %" PRIu64 " ms\n", refusal->name,
          (int)refusal->human.size, refusal->human.data, refusal->retry_in_ms);
}

static void on_answer(void* user, const sink_answer* answer) {
  struct progress* progress = user;
  if (!answer->acked)
    fprintf(stderr, "event %" PRIu64 " refused: %.*s\n", answer->event.offset,
            (int)answer->human.size, answer->human.data);
  pthread_mutex_lock(&progress->mutex);
  if (answer->acked)
    ++progress->accepted;
  else
    ++progress->lost;
  pthread_cond_signal(&progress->changed);
  pthread_mutex_unlock(&progress->mutex);
}

static void on_dropped(void* user, const sink_dropped* dropped) {
  struct progress* progress = user;
  fprintf(stderr, "%zu events given up (%s), the oldest is %" PRIu64 "\n", dropped->count,
          sink_drop_reason_name(dropped->reason), dropped->events[0].event.offset);
  pthread_mutex_lock(&progress->mutex);
  progress->lost += dropped->count;
  pthread_cond_signal(&progress->changed);
  pthread_mutex_unlock(&progress->mutex);
}

static void on_room(void* user) {
  struct progress* progress = user;
  pthread_mutex_lock(&progress->mutex);
  progress->room = 1;
  pthread_cond_signal(&progress->changed);
  pthread_mutex_unlock(&progress->mutex);
}

static void on_closed(void* user) {
  struct progress* progress = user;
  pthread_mutex_lock(&progress->mutex);
  progress->closed = 1;
  pthread_cond_signal(&progress->changed);
  pthread_mutex_unlock(&progress->mutex);
}

/* Waits for room where there is none. */
static sink_result publish(sink_connection* connection, struct progress* progress,
                           uint64_t offset) {
  char text[32], key[32];
  sink_event event;
  sink_result result;
  memset(&event, 0, sizeof event);
  event.event_type_id = 1;
  event.schema_version = 1;
  event.key.data = key;
  event.key.size = (size_t)snprintf(key, sizeof key, keys > 1 ? "example-%u" : "example",
                                    (unsigned)(offset % keys));
  event.offset = offset;
  event.event_data.data = text;
  event.event_data.size = (size_t)snprintf(text, sizeof text, "number %" PRIu64, offset);
  while ((result = sink_publish(connection, &event, offset)) == SINK_QUEUE_FULL) {
    pthread_mutex_lock(&progress->mutex);
    while (!progress->room) pthread_cond_wait(&progress->changed, &progress->mutex);
    progress->room = 0;
    pthread_mutex_unlock(&progress->mutex);
  }
  return result;
}

int main(int argc, char** argv) {
  struct progress progress = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0};
  sink_options options;
  sink_callbacks callbacks;
  sink_connection* connection;
  char error[256];
  uint64_t count, taken = 0;
  if (argc != 3 && argc != 6 && argc != 7) {
    fprintf(stderr, "usage: publish SERVER COUNT [CERTIFICATE KEY CA [LINKS]]\n");
    return 64;
  }
  count = strtoull(argv[2], NULL, 10);
  sink_options_init(&options);
  options.server = argv[1];
  options.application_version = "example-1";
  options.state_file = "publish.state";
  options.overflow = SINK_REFUSE; /* it can wait */
  if (argc == 7) {
    options.links = (uint32_t)strtoul(argv[6], NULL, 10);
    keys = 4 * options.links;
  }
  if (argc >= 6) {
    options.certificate_file = argv[3];
    options.private_key_file = argv[4];
    options.ca_file = argv[5];
  }
  sink_callbacks_init(&callbacks);
  callbacks.user = &progress;
  callbacks.on_state = on_state;
  callbacks.on_link = on_link;
  callbacks.on_refused = on_refused;
  callbacks.on_answer = on_answer;
  callbacks.on_dropped = on_dropped;
  callbacks.on_room = on_room;
  callbacks.on_closed = on_closed;
  connection = sink_connection_new(NULL, &options, &callbacks, error, sizeof error);
  if (connection == NULL) {
    fprintf(stderr, "%s\n", error);
    return 64;
  }
  if (sink_start(connection) != SINK_OK) return 1;
  while (taken < count && publish(connection, &progress, taken + 1) == SINK_OK) ++taken;
  pthread_mutex_lock(&progress.mutex);
  while (progress.accepted + progress.lost < taken)
    pthread_cond_wait(&progress.changed, &progress.mutex);
  pthread_mutex_unlock(&progress.mutex);
  sink_close(connection);
  pthread_mutex_lock(&progress.mutex);
  while (!progress.closed) pthread_cond_wait(&progress.changed, &progress.mutex);
  pthread_mutex_unlock(&progress.mutex);
  sink_connection_free(connection);
  printf("%" PRIu64 " accepted, %" PRIu64 " lost\n", progress.accepted, progress.lost);
  return progress.accepted == count ? 0 : 1;
}
