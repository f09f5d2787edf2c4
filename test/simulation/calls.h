// What the referee knows of calls: who is being called, who is here, and what their last word was.
// Not responsible for making calls. Shares no code with the engine's dials.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "daemon/broker/client.h"
#include "protocol/control/control.h"

namespace sink::simulation {

class Calls {
 public:
  // Why the gateway may not call this client now; nullopt: it may.
  std::optional<std::string> on_call(const std::string& client) {
    if (!under_way_.insert(client).second) return client + " is called while it is being called";
    if (here_.count(client) != 0) return client + " is called while it is connected";
    const auto said = said_.find(client);
    if (said != said_.end() && (said->second == protocol::GoodbyeReason::shutdown ||
                                said->second == protocol::GoodbyeReason::user_request))
      return client + " is called although it said goodbye: " +
             protocol::to_string(said->second);
    return std::nullopt;
  }
  void on_ended(const std::string& client) { under_way_.erase(client); }
  void on_welcomed(const std::string& client, broker::ConnectionId connection) {
    here_[client] = connection;
    said_.erase(client);
  }
  void on_goodbye(const std::string& client, protocol::GoodbyeReason reason) {
    said_.emplace(client, reason);
  }
  void on_left(const std::string& client, broker::ConnectionId connection) {
    const auto here = here_.find(client);
    if (here != here_.end() && here->second == connection) here_.erase(here);
  }
  // What was said is remembered for one life of the process.
  void on_process_end() { *this = {}; }

 private:
  std::set<std::string> under_way_;
  std::map<std::string, broker::ConnectionId> here_;
  std::map<std::string, protocol::GoodbyeReason> said_;
};

}  // namespace sink::simulation
