#include "daemon/broker/client_policy.h"

#include "daemon/broker/glob.h"

namespace sink::broker {

bool grants(std::string_view granted, std::string_view asked) {
  if (granted == asked || granted == "*") return true;
  if (glob_is_literal(asked)) return glob_match(granted, asked);
  if (granted.empty() || granted.back() != '*') return false;
  const std::string_view front = granted.substr(0, granted.size() - 1);
  return glob_is_literal(front) && asked.substr(0, front.size()) == front;
}

bool grants(const EventTypeRange& granted, const EventTypeRange& asked) {
  return granted.first <= asked.first && asked.last <= granted.last;
}

}  // namespace sink::broker
