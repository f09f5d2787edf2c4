// dial_list, dial_now.
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

constexpr size_t kPage = 1'000;

}  // namespace

admin::Reply dial_list(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const size_t limit = page_limit(command, kPage, kPage);
  for (const auto& dial : engine.broker.dials().all()) {
    if (!command.after.empty() && dial->spec.client <= command.after) continue;
    if (reply.dials.size() == limit) {
      reply.next = reply.dials.back().client_id;
      break;
    }
    reply.dials.push_back(dial_row(*dial));
  }
  return reply;
}

admin::Reply dial_now(const Engine& engine, const admin::Command& command) {
  if (command.client_id.empty())
    return refuse(admin::Outcome::usage, "no client was named",
                  "give its client_id; sinkctl dial ls lists them");
  broker::Dial* dial = engine.broker.dials().find(command.client_id);
  if (dial == nullptr)
    return refuse(admin::Outcome::not_found,
                  "there is no [[dial]] for '" + printable(command.client_id) + "'",
                  "see which there are with: sinkctl dial ls");
  if (!engine.broker.dials().call_now(*dial))
    return refuse(admin::Outcome::invalid,
                  dial->spec.client + " is connected or being called already",
                  "see what it does with: sinkctl dial ls");
  return success(dial->spec.client + " is called at " + dial->spec.address, 1);
}

}  // namespace sink::admin_server
