#include "daemon/admin/commands.h"

namespace sink::admin_server {

std::string_view name_of(admin::Verb verb) {
  switch (verb) {
    case admin::Verb::status: return "status";
    case admin::Verb::client_list: return "client_list";
    case admin::Verb::client_show: return "client_show";
    case admin::Verb::client_quarantine: return "client_quarantine";
    case admin::Verb::client_release: return "client_release";
    case admin::Verb::client_adopt: return "client_adopt";
    case admin::Verb::client_forget: return "client_forget";
    case admin::Verb::client_kick: return "client_kick";
    case admin::Verb::client_backlog: return "client_backlog";
    case admin::Verb::event_list: return "event_list";
    case admin::Verb::event_show: return "event_show";
    case admin::Verb::event_release: return "event_release";
    case admin::Verb::event_drop: return "event_drop";
    case admin::Verb::subscription_list: return "subscription_list";
    case admin::Verb::subscription_show: return "subscription_show";
    case admin::Verb::subscription_add: return "subscription_add";
    case admin::Verb::subscription_remove: return "subscription_remove";
    case admin::Verb::subscription_pause: return "subscription_pause";
    case admin::Verb::subscription_resume: return "subscription_resume";
    case admin::Verb::log_stats: return "log_stats";
    case admin::Verb::config_show: return "config_show";
    case admin::Verb::config_reload: return "config_reload";
    case admin::Verb::certificate_list: return "certificate_list";
    case admin::Verb::uplink_list: return "uplink_list";
    case admin::Verb::uplink_show: return "uplink_show";
    case admin::Verb::uplink_adopt: return "uplink_adopt";
    case admin::Verb::dial_list: return "dial_list";
    case admin::Verb::dial_now: return "dial_now";
    case admin::Verb::service_list: return "service_list";
    case admin::Verb::service_show: return "service_show";
    case admin::Verb::service_withdraw: return "service_withdraw";
  }
  return "unknown";
}

}  // namespace sink::admin_server
