// uplink_list, uplink_show, uplink_adopt.
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

broker::Uplink* find_uplink(const Engine& engine, const admin::Command& command,
                            admin::Reply& refusal) {
  broker::Uplink* uplink = engine.broker.uplinks().find(command.uplink);
  if (uplink == nullptr)
    refusal = command.uplink.empty()
                  ? refuse(admin::Outcome::usage, "no uplink was named",
                           "give its name; sinkctl uplink ls lists them")
                  : refuse(admin::Outcome::not_found,
                           "there is no uplink '" + printable(command.uplink) + "'",
                           "see which there are with: sinkctl uplink ls");
  return uplink;
}

bool is_stopped(const broker::Upstream& server) { return !server.stopped_because.empty(); }

}  // namespace

// As many as the configuration names: one page.
admin::Reply uplink_list(const Engine& engine) {
  admin::Reply reply;
  for (const auto& uplink : engine.broker.uplinks().all())
    reply.uplinks.push_back(uplink_row(engine.broker, *uplink));
  return reply;
}

admin::Reply uplink_show(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  if (const broker::Uplink* uplink = find_uplink(engine, command, reply))
    reply.uplinks.push_back(uplink_row(engine.broker, *uplink));
  return reply;
}

admin::Reply uplink_adopt(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  broker::Uplink* uplink = find_uplink(engine, command, reply);
  if (uplink == nullptr) return reply;
  std::string names;
  uint64_t stopped = 0;
  for (const broker::Upstream& server : uplink->servers) {
    if (!is_stopped(server)) continue;
    names += (names.empty() ? "" : ", ") + server.address;
    ++stopped;
  }
  if (stopped == 0)
    return refuse(admin::Outcome::invalid, "no server of " + uplink->spec.name + " is stopped",
                  "see what it does with: sinkctl uplink show " + uplink->spec.name);
  if (!command.dry_run) engine.broker.uplinks().adopt(*uplink);
  return success(told(command, "meet " + names + " as a new server",
                      names + " is met as a new server; if it knows another gateway by this "
                              "certificate, adopt this one there: sinkctl client adopt"),
                 stopped);
}

}  // namespace sink::admin_server
