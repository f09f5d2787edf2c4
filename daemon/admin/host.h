// What the admin layer needs to know of the process around the broker, and whom it tells what an
// operator did. The daemon's main implements it. Not responsible for anything the broker knows
// itself. Invariant: no call blocks, and none calls back into the admin layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/admin.h"

namespace sink::admin_server {

// The process at the other end of the admin socket, as the kernel vouches for it.
struct Caller {
  int32_t pid = -1;  // -1: unknown
  uint32_t uid = UINT32_MAX;
  uint32_t gid = UINT32_MAX;
};

// One changing command and how it ended; dry runs change nothing and are not audited.
struct AuditEntry {
  Caller caller;
  admin::Verb verb = admin::Verb::status;
  std::string target;  // "client meter-1", "subscription readings, position 17"; printable
  admin::Outcome outcome = admin::Outcome::ok;
  std::string message;  // what the operator was told; printable
};

// A number that only the process knows, shown at /metrics as "sinkd_NAME".
struct HostMetric {
  enum class Kind : uint8_t { counter, gauge };
  std::string name;  // with its unit; a counter's ends in "_total"
  std::string help;
  Kind kind = Kind::counter;
  double value = 0;
};

struct HostFacts {
  std::string version;
  uint64_t uptime_ms = 0;
  bool recovered = false;  // the store has been read back
  bool listening = false;  // every listener is bound
  uint64_t connections_unauthenticated = 0;  // before or in their handshake
  double loop_lag_seconds = 0;               // how late the last timer ran
  std::string stuck;  // not empty: the loop or the commit path makes no progress, in one sentence
  std::optional<uint64_t> disk_free_bytes;
  std::vector<HostMetric> metrics;  // names are distinct and not among those of metrics.cc
};

struct Reloaded {
  admin::Outcome outcome = admin::Outcome::ok;  // invalid: the old configuration stays in force
  std::string message;
  std::string hint;
  std::vector<admin::ConfigRow> rows;  // what changed, or the errors with their lines
};

class Host {
 public:
  virtual ~Host() = default;

  // Around every use of the broker by the admin layer: enter() sets Broker::set_time to the
  // present; leave() makes sure that Broker::turn() runs soon, because something changed.
  virtual void enter() = 0;
  virtual void leave() = 0;

  virtual HostFacts facts() = 0;
  virtual std::vector<admin::ConfigRow> configuration() = 0;  // the effective one
  virtual Reloaded reload() = 0;
  virtual std::vector<admin::CertificateRow> certificates() = 0;
  virtual void audit(const AuditEntry& entry) = 0;
};

}  // namespace sink::admin_server
