// One function for each verb, called by Commands::dispatch. Those that read the log answer through
// `done`; the others return. Not responsible for waiting for commits or for the audit. Invariant: a
// refused command and a dry run change nothing.
#pragma once

#include <optional>
#include <string>

#include "daemon/admin/executor.h"
#include "daemon/admin/host.h"
#include "daemon/admin/slices.h"
#include "daemon/broker/broker.h"
#include "protocol/admin.h"

namespace sink::admin_server {

// What every verb works on. Cheap to copy; lives as long as the broker.
struct Engine {
  broker::Broker& broker;
  Host& host;
  Slices& slices;  // for what is too long for one round of the loop
  broker::Core& core() const { return broker.core(); }
};

admin::Reply status(const Engine& engine);

admin::Reply client_list(const Engine& engine, const admin::Command& command);
admin::Reply client_show(const Engine& engine, const admin::Command& command);
admin::Reply client_quarantine(const Engine& engine, const admin::Command& command);
admin::Reply client_release(const Engine& engine, const admin::Command& command);
admin::Reply client_adopt(const Engine& engine, const admin::Command& command);
admin::Reply client_forget(const Engine& engine, const admin::Command& command);
admin::Reply client_kick(const Engine& engine, const admin::Command& command);
void client_backlog(const Engine& engine, const admin::Command& command, Done done);

void event_list(const Engine& engine, const admin::Command& command, Done done);
void event_show(const Engine& engine, const admin::Command& command, Done done);
// event_release and event_drop.
void event_resolve(const Engine& engine, const admin::Command& command, Done done);

admin::Reply subscription_list(const Engine& engine, const admin::Command& command);
admin::Reply subscription_show(const Engine& engine, const admin::Command& command);
admin::Reply subscription_add(const Engine& engine, const admin::Command& command);
admin::Reply subscription_remove(const Engine& engine, const admin::Command& command);
admin::Reply subscription_pause(const Engine& engine, const admin::Command& command);
admin::Reply subscription_resume(const Engine& engine, const admin::Command& command);

admin::Reply log_stats(const Engine& engine, const admin::Command& command);

admin::Reply config_show(const Engine& engine, const admin::Command& command);
admin::Reply config_reload(const Engine& engine, const admin::Command& command);
admin::Reply certificate_list(const Engine& engine, const admin::Command& command);

admin::Reply uplink_list(const Engine& engine);
admin::Reply uplink_show(const Engine& engine, const admin::Command& command);
admin::Reply uplink_adopt(const Engine& engine, const admin::Command& command);

admin::Reply dial_list(const Engine& engine, const admin::Command& command);
admin::Reply dial_now(const Engine& engine, const admin::Command& command);
admin::Reply service_list(const Engine& engine, const admin::Command& command);
admin::Reply service_show(const Engine& engine, const admin::Command& command);
admin::Reply service_withdraw(const Engine& engine, const admin::Command& command);

// ---- what the verbs share ----

admin::Reply refuse(admin::Outcome outcome, std::string message, std::string hint);
admin::Reply success(std::string message, uint64_t affected = 0);
// "1 event", "2 events"
std::string counted(uint64_t count, std::string_view noun);
// "would drop ..." and "dropped ..." from one place: `doing` where it is a dry run, else `did`.
std::string told(const admin::Command& command, std::string_view doing, std::string_view did);
// Rows of one page: what was asked for, within the server's bounds.
size_t page_limit(const admin::Command& command, size_t usual, size_t limit_max);
// Command::after as a decimal number; 0 where it is empty, nullopt where it is something else.
std::optional<uint64_t> number_after(const std::string& after);
admin::Reply refuse_after(const std::string& after);
// Fit for a log line and a terminal: control characters become '?', long texts are cut.
std::string printable(std::string_view text, size_t bytes_max = 200);

}  // namespace sink::admin_server
