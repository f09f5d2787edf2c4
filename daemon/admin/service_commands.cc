// service_list, service_show, service_withdraw.
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"
#include "daemon/broker/channel_gate.h"

namespace sink::admin_server {
namespace {

constexpr size_t kRowsUsual = 500;
constexpr size_t kRowsMax = 2'000;

broker::Service* find_named(const broker::ServiceRegistry& services, const std::string& text) {
  if (const auto uuid = protocol::parse_uuid(text)) return services.find(*uuid);
  const auto name = protocol::parse_service_name(text);
  return name ? services.find(*name) : nullptr;
}

// The named service, or the refusal that says what to do instead.
broker::Service* find_service(const Engine& engine, const admin::Command& command,
                              admin::Reply& refusal) {
  broker::Service* service = find_named(engine.core().state.services, command.service);
  if (service == nullptr)
    refusal = command.service.empty()
                  ? refuse(admin::Outcome::usage, "no service was named",
                           "give its full name or its uuid; sinkctl service ls lists them")
                  : refuse(admin::Outcome::not_found,
                           "there is no service '" + printable(command.service) + "'",
                           "give a full name such as com.example.chat@1.0.0, or a uuid; see which "
                           "there are with: sinkctl service ls");
  return service;
}

std::vector<admin::ServiceChannel> channels_to(broker::Core& core,
                                               const broker::Service& service) {
  std::vector<admin::ServiceChannel> rows;
  core.state.channels.for_each([&](const broker::Channel& channel) {
    if (channel.service_uuid != service.uuid) return;
    admin::ServiceChannel& row = rows.emplace_back();
    row.id = protocol::channel_key(channel.id);
    if (const broker::Client* opener = core.state.clients.find(channel.opener()))
      row.opener = opener->client_id;
    row.closing = channel.closing.has_value();
    row.to_owner = broker::waiting_in(core, channel.from_opener);
    row.to_opener = broker::waiting_in(core, channel.from_owner);
  });
  return rows;
}

}  // namespace

admin::Reply service_list(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const size_t limit = page_limit(command, kRowsUsual, kRowsMax);
  const auto after = protocol::parse_service_name(command.after);
  if (!after && !command.after.empty())
    return refuse(admin::Outcome::invalid, "'" + printable(command.after) + "' is no place in the "
                                           "list of services",
                  "go on with what the last page answered");
  for (const broker::Service* service :
       engine.core().state.services.page(after.value_or(protocol::ServiceName{}), limit + 1)) {
    if (reply.services.size() == limit) {
      reply.next = reply.services.back().name;
      break;
    }
    reply.services.push_back(service_row(engine.broker, *service));
  }
  return reply;
}

admin::Reply service_show(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const broker::Service* service = find_service(engine, command, reply);
  if (service == nullptr) return reply;
  reply.services.push_back(service_row(engine.broker, *service));
  reply.services.back().metadata = service->metadata;
  reply.services.back().channels = channels_to(engine.core(), *service);
  return reply;
}

admin::Reply service_withdraw(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  broker::Service* service = find_service(engine, command, reply);
  if (service == nullptr) return reply;
  const admin::ServiceRow row = service_row(engine.broker, *service);
  if (!command.dry_run) engine.broker.sessions().services().withdraw(*service);
  return success(told(command, "withdraw " + row.name + " of " + row.owner,
                      row.name + " of " + row.owner +
                          " is withdrawn; what its policy grants may be exposed again"),
                 1);
}

}  // namespace sink::admin_server
