/* A device that listens, and that gateways call: prints who is connected and ACKs what is
 * delivered. It is with one gateway at a time; whom it stays with is told in docs/sdk.md. Keeps its
 * ids in listen.state.
 *
 *   listen ADDRESS CERTIFICATE KEY CA GATEWAY...
 *
 * ADDRESS is where to listen, GATEWAY a name in a gateway's certificate. Each line of the standard
 * input is published under the key "listen", its end ends the program.
 *
 * Exit status: 0 closed in order, 1 failed, 64 usage.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/sink.h"

#define GATEWAYS_MAX 15

struct device {
  sink_connection* connection;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int closed;
};

/* Callbacks come on the connection's thread. */

static void on_state(void* user, const sink_state_change* change) {
  (void)user;
  fprintf(stderr, "%s -> %s: %.*s\n", sink_state_name(change->from), sink_state_name(change->to),
          (int)change->reason.size, change->reason.data);
}

static void on_connected(void* user, const sink_connected* connected) {
  (void)user;
  printf("connected %.*s%s%s\n", (int)connected->server.size, connected->server.data,
         connected->delivers ? " delivers" : "", connected->resumed ? " resumed" : "");
}

static void on_contest(void* user, const sink_contest* contest) {
  static const char* const outcomes[] = {"took over", "turned away", "refused", "lost"};
  (void)user;
  printf("contest %.*s %s\n", (int)contest->server.size, contest->server.data,
         outcomes[contest->outcome]);
}

static void on_delivery(void* user, const sink_delivery* delivery) {
  const struct device* device = user;
  printf("delivered %.*s %" PRIu64 "\n", (int)delivery->event.key.size, delivery->event.key.data,
         delivery->event.offset);
  sink_ack(device->connection, delivery->id);
}

static void on_answer(void* user, const sink_answer* answer) {
  (void)user;
  printf("%s %" PRIu64 "\n", answer->acked ? "accepted" : "refused", answer->event.offset);
}

static void on_closed(void* user) {
  struct device* device = user;
  pthread_mutex_lock(&device->mutex);
  device->closed = 1;
  pthread_cond_signal(&device->changed);
  pthread_mutex_unlock(&device->mutex);
}

static void publish_lines(sink_connection* connection) {
  char line[1024];
  uint64_t offset = 0;
  while (fgets(line, sizeof line, stdin) != NULL) {
    sink_event event;
    memset(&event, 0, sizeof event);
    event.event_type_id = 1;
    event.key.data = "listen";
    event.key.size = strlen(event.key.data);
    event.offset = ++offset;
    event.event_data.data = line;
    event.event_data.size = strcspn(line, "\n");
    if (sink_publish(connection, &event, offset) != SINK_OK)
      fprintf(stderr, "line %" PRIu64 " was not taken\n", offset);
  }
}

int main(int argc, char** argv) {
  struct device device;
  sink_server gateways[GATEWAYS_MAX];
  sink_options options;
  sink_callbacks callbacks;
  char error[256];
  int i;
  if (argc < 6 || argc - 6 > GATEWAYS_MAX) {
    fprintf(stderr, "usage: listen ADDRESS CERTIFICATE KEY CA GATEWAY...\n");
    return 64;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  memset(&device, 0, sizeof device);
  pthread_mutex_init(&device.mutex, NULL);
  pthread_cond_init(&device.changed, NULL);
  memset(gateways, 0, sizeof gateways);
  for (i = 6; i < argc; ++i) gateways[i - 6].name = argv[i];
  sink_options_init(&options);
  options.listen = argv[1];
  options.certificate_file = argv[2];
  options.private_key_file = argv[3];
  options.ca_file = argv[4];
  options.server_name = argv[5];
  options.more_servers = gateways;
  options.more_servers_count = (size_t)(argc - 6);
  options.state_file = "listen.state";
  options.application_version = "example-1";
  options.keep_session = 0;
  sink_callbacks_init(&callbacks);
  callbacks.user = &device;
  callbacks.on_state = on_state;
  callbacks.on_connected = on_connected;
  callbacks.on_contest = on_contest;
  callbacks.on_delivery = on_delivery;
  callbacks.on_answer = on_answer;
  callbacks.on_closed = on_closed;
  device.connection = sink_connection_new(NULL, &options, &callbacks, error, sizeof error);
  if (device.connection == NULL || sink_start(device.connection) != SINK_OK) {
    fprintf(stderr, "%s\n", device.connection == NULL ? error : "no thread can be started");
    return 64;
  }
  publish_lines(device.connection);
  sink_close(device.connection);
  pthread_mutex_lock(&device.mutex);
  while (!device.closed) pthread_cond_wait(&device.changed, &device.mutex);
  pthread_mutex_unlock(&device.mutex);
  i = sink_connection_state(device.connection) == SINK_STATE_CLOSED ? 0 : 1;
  sink_connection_free(device.connection);
  return i;
}
