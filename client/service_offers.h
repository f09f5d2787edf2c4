// All services that a connection exposes: asks for each what its lease wants to ask, and tells
// what the answers mean. Not responsible for sending or for time: a connection calls run() when it
// is connected and something has happened, or is due. Sans-I/O. Invariant: requests of its own have
// tags that no user's request can have.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "client/service_lease.h"

namespace sink::client {

// What has become of a service. Views are valid until the callback returns.
struct ServiceNotice {
  protocol::Bytes name;
  ServiceChange change = ServiceChange::exposed;
  std::optional<protocol::Uuid> uuid;                          // the latest, once there was one
  protocol::ErrorCode code = protocol::ErrorCode::none;        // refused
  protocol::Bytes text;                                        // refused: for people
};

class ServiceOffers {
 public:
  static constexpr size_t kOffersMax = 32;               // what a server takes of one client
  static constexpr uint64_t kOwnTags = uint64_t{1} << 63;  // from here on, up to:
  static constexpr uint64_t kOwnTagsEnd = uint64_t{3} << 62;

  using Ask = std::function<bool(const protocol::ControlRequest& request, uint64_t tag)>;
  using Tell = std::function<void(const ServiceNotice& notice)>;

  // False: there are kOffersMax. One of the same name is replaced.
  bool expose(protocol::Expose offer, bool connected, uint64_t now_ms);
  // False: none is exposed by that name.
  bool withdraw(const std::string& name);

  // `tell` may call any method of this.
  void on_connected(uint64_t now_ms, const Tell& tell);
  void on_lost();
  // False: the tag is not one of these.
  bool on_outcome(uint64_t tag, const protocol::ControlOutcome& outcome, uint64_t now_ms,
                  const Tell& tell);
  void on_ended(const protocol::ServiceEnded& ended, const Tell& tell);

  // Asks for what is due, as far as `ask` takes it: call it again when a reply has come.
  void run(uint64_t now_ms, const Ask& ask);
  std::optional<uint64_t> deadline_ms() const;
  static bool is_own(uint64_t tag) { return tag >= kOwnTags && tag < kOwnTagsEnd; }

 private:
  using Leases = std::map<uint64_t, ServiceLease>;  // by tag

  Leases::iterator find(const std::string& name);
  void report(uint64_t tag, std::optional<ServiceChange> change, const Tell& tell);

  Leases leases_;
  uint64_t next_tag_ = kOwnTags;
  bool refused_ = false;  // `ask` took no more at the last run(): until something happens
};

}  // namespace sink::client
