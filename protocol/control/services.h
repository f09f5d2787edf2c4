// Services: a client exposes one under a name for a time and renews that lease, others look it up.
// Plain data of the requests and their answers; not responsible for leases (daemon/broker) nor for
// encoding (control.h). Schema: sink.fbs; meaning: docs/protocol.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/control/service_name.h"
#include "protocol/control/uuid.h"

namespace sink::protocol {

inline constexpr size_t kServiceMetadataMax = 4'096;
inline constexpr uint32_t kServiceTtlMsMin = 1'000;
inline constexpr uint32_t kServiceTtlMsMax = 86'400'000;
inline constexpr size_t kServicesFoundMax = 64;  // of one Lookup

// The asking client offers a service for ttl_ms, or renews what it offers under that name.
struct Expose {
  std::string name;  // with version
  uint32_t ttl_ms = 0;
  std::string metadata;
  bool is_public = false;  // found by its name; else by its uuid only
  bool operator==(const Expose&) const = default;
};
// Its lease runs anew.
struct Refresh {
  Uuid uuid{};
  bool operator==(const Refresh&) const = default;
};
struct Withdraw {
  Uuid uuid{};
  bool operator==(const Withdraw&) const = default;
};
// By uuid, or else by name, of which the version or its end may be left out.
struct Lookup {
  std::string name;
  std::optional<Uuid> uuid;
  bool operator==(const Lookup&) const = default;
};

// Sent over the wire: never renumber.
enum class ServiceEndReason : uint8_t {
  lapsed = 0,       // its owner has not refreshed it
  withdrawn = 1,    // by its owner
  by_operator = 2,
};
const char* to_string(ServiceEndReason reason);

// From the server to the owner; not answered.
struct ServiceEnded {
  Uuid uuid{};
  std::string name;
  ServiceEndReason reason = ServiceEndReason::lapsed;
  bool operator==(const ServiceEnded&) const = default;
};

// The answer to an Expose or a Refresh.
struct Lease {
  Uuid uuid{};
  uint32_t ttl_ms = 0;  // as granted; it begins when the server handles the request
  bool operator==(const Lease&) const = default;
};

struct FoundService {
  std::string name;  // with version
  Uuid uuid{};
  std::string owner;  // its client_id
  std::string metadata;
  bool is_public = false;
  uint32_t expires_in_ms = 0;
  bool operator==(const FoundService&) const = default;
};
// The answer to a Lookup: newest version first.
struct FoundServices {
  std::vector<FoundService> services;
  uint32_t left_out = 0;  // as compatible as these, for which there was no room
  bool operator==(const FoundServices&) const = default;
};

}  // namespace sink::protocol
