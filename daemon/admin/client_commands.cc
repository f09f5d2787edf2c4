// client_list, show, quarantine, release, adopt, forget, kick.
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"
#include "daemon/broker/delivery.h"

namespace sink::admin_server {
namespace {

using broker::Client;

constexpr size_t kRowsUsual = 500;
constexpr size_t kRowsMax = 2'000;

// The named client, or the refusal that says what to do instead.
Client* find_client(const Engine& engine, const admin::Command& command, admin::Reply& refusal) {
  if (command.client_id.empty()) {
    refusal = refuse(admin::Outcome::usage, "no client was named",
                     "give its client_id; sinkctl client ls lists them");
    return nullptr;
  }
  Client* client = engine.core().state.clients.find(command.client_id);
  if (client == nullptr)
    refusal = refuse(admin::Outcome::not_found,
                     "no client is known as '" + printable(command.client_id) + "'",
                     "a client is known from its first connection on; see sinkctl client ls");
  return client;
}

broker::Peer* connection_of(const Engine& engine, const Client& client) {
  broker::Peer* peer = engine.core().peers.find(client.links.connection());
  return peer != nullptr && peer->client == &client ? peer : nullptr;
}

uint64_t backlog_below(const Engine& engine, const Client& client, storage::Position end) {
  uint64_t backlog = 0;
  for (broker::Tracker* tracker : client.trackers) {
    std::vector<storage::Position> waiting;
    engine.broker.delivery().collect_unsettled(*tracker, 0, end, waiting);
    backlog += waiting.size();
  }
  return backlog;
}

// What goes with the client when it is forgotten: the backlog of its templates' trackers.
uint64_t template_backlog_of(const Client& client) {
  uint64_t backlog = 0;
  for (const broker::Tracker* tracker : client.trackers)
    if (tracker->subscription->is_template) backlog += tracker->unsettled();
  return backlog;
}

}  // namespace

admin::Reply client_list(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const size_t limit = page_limit(command, kRowsUsual, kRowsMax);
  for (const Client* client : engine.core().state.clients.page(command.after, limit + 1)) {
    if (reply.clients.size() == limit) {
      reply.next = reply.clients.back().client_id;
      break;
    }
    reply.clients.push_back(client_row(engine.broker, *client));
  }
  return reply;
}

admin::Reply client_show(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  admin::ClientRow row = client_row(engine.broker, *client);
  for (const auto& [event_type_id, timestamp] : client->freshness)
    row.freshness.push_back({event_type_id, timestamp});
  reply.clients.push_back(std::move(row));
  return reply;
}

admin::Reply client_quarantine(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  const bool too_long = command.machine.size() > broker::Delivery::kMachineBytesMax ||
                        command.human.size() > broker::Delivery::kHumanBytesMax;
  if (too_long)
    return refuse(admin::Outcome::invalid, "the message to the client is too long",
                  "at most 255 bytes for the machine and 4096 for the human message");
  const uint64_t now = engine.core().now.wall_ms;
  const bool for_ever = command.duration_ms == 0 || command.duration_ms > UINT64_MAX - now;
  const uint64_t until = for_ever ? 0 : now + command.duration_ms;
  const std::string told_text =
      told(command, "quarantine " + client->client_id, client->client_id + " is in quarantine") +
      (until == 0 ? " until it is released" : " until its time is over") +
      (connection_of(engine, *client) != nullptr ? "; its connection is closed" : "");
  if (!command.dry_run)
    engine.broker.sessions().quarantine(*client, {command.machine, command.human, now, until});
  return success(told_text, 1);
}

admin::Reply client_release(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  if (!client->quarantine)
    return refuse(admin::Outcome::invalid, client->client_id + " is not in quarantine",
                  "see why it does not connect: sinkctl client show " + client->client_id);
  if (!command.dry_run) engine.broker.sessions().release(*client);
  return success(told(command, "release " + client->client_id,
                      client->client_id + " may connect again"),
                 1);
}

admin::Reply client_adopt(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  if (!client->presented_instance_id)
    return refuse(admin::Outcome::invalid,
                  client->client_id + " has presented no other instance id, nothing is to adopt",
                  "wait until it has tried to connect; sinkctl client ls --state mismatch");
  const bool drops = command.backlog != admin::Backlog::keep;
  const bool archived = command.backlog == admin::Backlog::archive;
  if (archived && !command.position && !command.dry_run)
    return refuse(admin::Outcome::usage, "up to which position events are archived was not said",
                  "sinkctl client adopt --backlog archive does both, the archive first");
  const storage::Position end = archived ? command.position.value_or(UINT64_MAX) : UINT64_MAX;
  const std::string instance = std::to_string(*client->presented_instance_id);
  uint64_t dropped = 0;
  if (command.dry_run) {
    dropped = drops ? backlog_below(engine, *client, end) : 0;
  } else if (!engine.broker.sessions().adopt(*client, drops, dropped, end)) {
    return refuse(admin::Outcome::invalid, client->client_id + " has nothing to adopt", "");
  }
  std::string text = told(command, "adopt instance " + instance + " as " + client->client_id,
                          "instance " + instance + " is now " + client->client_id);
  if (drops) {
    text += command.dry_run ? " and drop " : "; dropped ";
    text += counted(dropped, archived ? "archived event" : "waiting event");
  }
  return success(std::move(text), 1 + dropped);
}

admin::Reply client_forget(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  const std::string client_id = client->client_id;
  const uint64_t dropped = command.dry_run ? template_backlog_of(*client)
                                           : engine.broker.sessions().forget(*client);
  std::string text = told(command, "forget " + client_id + " and its history",
                          client_id + " is unknown from now on");
  if (dropped > 0) {
    text += command.dry_run ? " and drop " : "; dropped ";
    text += counted(dropped, "event") + " that waited for it";
  }
  return success(std::move(text), 1 + dropped);
}

admin::Reply client_kick(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Client* client = find_client(engine, command, reply);
  if (client == nullptr) return reply;
  broker::Peer* peer = connection_of(engine, *client);
  if (peer == nullptr)
    return refuse(admin::Outcome::invalid, client->client_id + " is not connected",
                  "to keep it out, use: sinkctl client quarantine " + client->client_id);
  if (!command.dry_run) engine.broker.sessions().close(*peer, broker::CloseReason::kicked);
  return success(told(command, "close the connection of " + client->client_id,
                      "closed the connection of " + client->client_id + "; it may come back"),
                 1);
}

}  // namespace sink::admin_server
