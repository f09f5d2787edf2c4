// Why a local endpoint could not be opened. Plain data.
#pragma once

#include <cstdint>
#include <string>

namespace sink::admin_server {

struct BindError {
  enum class Fault : uint8_t {
    in_use,        // exit 69: somebody answers there
    no_resources,  // exit 71: no descriptors or memory
    invalid,       // exit 78: no such address or path
    failed,        // exit 78: the system refused
  };
  Fault fault = Fault::failed;
  std::string message;  // for people: what, where, what to do
};

}  // namespace sink::admin_server
