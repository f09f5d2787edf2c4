#include "daemon/admin/commands.h"

#include <algorithm>
#include <utility>

#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

// Every record appended up to this batch is committed, unless the log has failed.
storage::Sequence committed_sequence(const storage::EventLog& log) {
  return log.committing() ? log.last_sequence() - 1 : log.last_sequence();
}

std::string target_of(const admin::Command& command) {
  std::string target;
  const auto add = [&](const char* what, const std::string& value) {
    if (value.empty()) return;
    target += (target.empty() ? "" : ", ") + std::string(what) + " " + printable(value);
  };
  add("client", command.client_id);
  add("subscription", command.subscription);
  add("consumer", command.consumer);
  add("uplink", command.uplink);
  add("service", command.service);
  if (command.position) add("position", std::to_string(*command.position));
  if (command.all) target += target.empty() ? "all" : ", all";
  return target;
}

admin::Reply store_failed(const storage::EventLog& log) {
  return refuse(admin::Outcome::internal,
                "the store has failed, so the change may not be on stable storage: " +
                    log.failure(),
                "sinkd stops and recovers at its next start; look then whether it was done");
}

}  // namespace

bool is_changing(admin::Verb verb) {
  switch (verb) {
    case admin::Verb::status:
    case admin::Verb::client_list:
    case admin::Verb::client_show:
    case admin::Verb::client_backlog:
    case admin::Verb::event_list:
    case admin::Verb::event_show:
    case admin::Verb::subscription_list:
    case admin::Verb::subscription_show:
    case admin::Verb::log_stats:
    case admin::Verb::config_show:
    case admin::Verb::certificate_list:
    case admin::Verb::uplink_list:
    case admin::Verb::uplink_show:
    case admin::Verb::dial_list:
    case admin::Verb::service_list:
    case admin::Verb::service_show:
      return false;
    case admin::Verb::client_quarantine:
    case admin::Verb::client_release:
    case admin::Verb::client_adopt:
    case admin::Verb::client_forget:
    case admin::Verb::client_kick:
    case admin::Verb::event_release:
    case admin::Verb::event_drop:
    case admin::Verb::subscription_add:
    case admin::Verb::subscription_remove:
    case admin::Verb::subscription_pause:
    case admin::Verb::subscription_resume:
    case admin::Verb::config_reload:
    case admin::Verb::uplink_adopt:
    case admin::Verb::dial_now:
    case admin::Verb::service_withdraw:
      return true;
  }
  return true;
}

void Commands::execute(const admin::Command& command, const Caller& caller, Done done) {
  host_.enter();
  if (!is_changing(command.verb) || command.dry_run) return dispatch(command, std::move(done));
  if (broker_.core().log.failed()) return done(store_failed(broker_.core().log));
  AuditEntry audit;
  audit.caller = caller;
  audit.verb = command.verb;
  audit.target = target_of(command);
  dispatch(command, [this, audit = std::move(audit), done = std::move(done)](admin::Reply reply) {
    await_commit(audit, std::move(reply), done);
  });
}

void Commands::dispatch(const admin::Command& command, Done done) {
  const Engine engine{broker_, host_, slices_};
  switch (command.verb) {
    case admin::Verb::status: return done(status(engine));
    case admin::Verb::client_list: return done(client_list(engine, command));
    case admin::Verb::client_show: return done(client_show(engine, command));
    case admin::Verb::client_quarantine: return done(client_quarantine(engine, command));
    case admin::Verb::client_release: return done(client_release(engine, command));
    case admin::Verb::client_adopt: return done(client_adopt(engine, command));
    case admin::Verb::client_forget: return done(client_forget(engine, command));
    case admin::Verb::client_kick: return done(client_kick(engine, command));
    case admin::Verb::client_backlog: return client_backlog(engine, command, std::move(done));
    case admin::Verb::event_list: return event_list(engine, command, std::move(done));
    case admin::Verb::event_show: return event_show(engine, command, std::move(done));
    case admin::Verb::event_release:
    case admin::Verb::event_drop: return event_resolve(engine, command, std::move(done));
    case admin::Verb::subscription_list: return done(subscription_list(engine, command));
    case admin::Verb::subscription_show: return done(subscription_show(engine, command));
    case admin::Verb::subscription_add: return done(subscription_add(engine, command));
    case admin::Verb::subscription_remove: return done(subscription_remove(engine, command));
    case admin::Verb::subscription_pause: return done(subscription_pause(engine, command));
    case admin::Verb::subscription_resume: return done(subscription_resume(engine, command));
    case admin::Verb::log_stats: return done(log_stats(engine, command));
    case admin::Verb::config_show: return done(config_show(engine, command));
    case admin::Verb::config_reload: return done(config_reload(engine, command));
    case admin::Verb::certificate_list: return done(certificate_list(engine, command));
    case admin::Verb::uplink_list: return done(uplink_list(engine));
    case admin::Verb::uplink_show: return done(uplink_show(engine, command));
    case admin::Verb::uplink_adopt: return done(uplink_adopt(engine, command));
    case admin::Verb::dial_list: return done(dial_list(engine, command));
    case admin::Verb::dial_now: return done(dial_now(engine, command));
    case admin::Verb::service_list: return done(service_list(engine, command));
    case admin::Verb::service_show: return done(service_show(engine, command));
    case admin::Verb::service_withdraw: return done(service_withdraw(engine, command));
  }
  done(refuse(admin::Outcome::usage, "this sinkd does not know the verb",
              "compare: sinkctl --version, sinkd --version"));
}

void Commands::await_commit(AuditEntry audit, admin::Reply reply, const Done& done) {
  host_.leave();
  if (reply.outcome != admin::Outcome::ok)
    return conclude(std::move(audit), std::move(reply), done);
  broker_.delivery().write_settlements();
  const storage::EventLog& log = broker_.core().log;
  const storage::Sequence needed =
      log.has_open_records() ? log.open_sequence() : log.last_sequence();
  if (needed <= committed_sequence(log) && !log.failed())
    return conclude(std::move(audit), std::move(reply), done);
  waiting_.push_back({needed, std::move(audit), std::move(reply), done});
}

void Commands::on_round() {
  slices_.run();
  const storage::EventLog& log = broker_.core().log;
  while (!waiting_.empty()) {
    if (!log.failed() && waiting_.front().sequence > committed_sequence(log)) return;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (log.failed()) next.reply = store_failed(log);
    conclude(std::move(next.audit), std::move(next.reply), next.done);
  }
}

void Commands::conclude(AuditEntry audit, admin::Reply reply, const Done& done) {
  audit.outcome = reply.outcome;
  audit.message = printable(reply.message, 500);
  host_.audit(audit);
  done(std::move(reply));
}

}  // namespace sink::admin_server
