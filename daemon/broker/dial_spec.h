// One [[dial]] table: a client that listens, and where. Plain data; daemon/config fills it.
#pragma once

#include <string>

namespace sink::broker {

struct DialSpec {
  std::string client;    // its client_id; nobody else is let in by this call
  std::string address;   // "host:port"
  std::string listener;  // the address of the one whose certificate and client_ca are used
  bool operator==(const DialSpec&) const = default;
};

}  // namespace sink::broker
