// One service that this client exposes, over any number of connections: when to ask the server for
// what, and what its answers mean. Not responsible for sending (service_offers.h). Sans-I/O: the
// time comes as an argument. Invariant: at most one request of it awaits an answer.
//
//   away --connected--> wanted --Expose, granted--> leased --at 80 % of it--> Refresh, granted
//   wanted, leased --refused--> resting --later--> wanted
//   leased --lapsed, or not found--> wanted       leased --by an operator--> over
//   any --the connection ends--> away             any --withdraw()--> leaving --Withdraw--> over
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/control/control.h"

namespace sink::client {

// Part of the ABI of sink.h: never renumber.
enum class ServiceChange : uint8_t {
  exposed = 0,    // the server grants it, anew or once more
  lapsed = 1,     // the lease has ended without us; it is exposed again by itself
  refused = 2,    // tried again later, or with the next connection
  withdrawn = 3,  // for good: by withdraw(), or by the server's operator
};
const char* to_string(ServiceChange change);

class ServiceLease {
 public:
  static constexpr uint64_t kRetryMsMin = 1'000;  // after a refusal

  explicit ServiceLease(protocol::Expose offer) : offer_(std::move(offer)) {}

  // What to ask the server now; nullopt: nothing yet, see deadline_ms(). Once it was sent: asked().
  std::optional<protocol::ControlRequest> request(uint64_t now_ms) const;
  void asked(uint64_t now_ms);
  // When request() may have something again by itself.
  std::optional<uint64_t> deadline_ms() const;

  // Each may answer what has become of the service.
  std::optional<ServiceChange> on_connected(uint64_t now_ms);
  void on_lost();
  std::optional<ServiceChange> on_outcome(const protocol::ControlOutcome& outcome, uint64_t now_ms);
  std::optional<ServiceChange> on_ended(protocol::ServiceEndReason reason);

  // Exposes it with other metadata or another ttl from now on.
  void replace(protocol::Expose offer);
  void withdraw();

  bool over() const { return state_ == State::over; }
  const std::string& name() const { return offer_.name; }
  const std::optional<protocol::Uuid>& uuid() const { return uuid_; }
  const protocol::ControlOutcome& refusal() const { return refusal_; }  // the last one

 private:
  enum class State : uint8_t { away, wanted, leased, resting, leaving, over };
  enum class Asked : uint8_t { nothing, expose, refresh, withdraw };

  std::optional<ServiceChange> granted(const protocol::Lease& lease, uint64_t now_ms);
  std::optional<ServiceChange> refused(const protocol::ControlOutcome& outcome, uint64_t now_ms);
  uint64_t retry_ms() const;

  protocol::Expose offer_;
  State state_ = State::away;
  Asked asked_ = Asked::nothing;
  bool changed_ = false;  // replaced while it was asked for
  std::optional<protocol::Uuid> uuid_;
  uint64_t asked_ms_ = 0;
  uint64_t next_ms_ = 0;     // leased: the refresh; resting: the next try
  uint64_t expires_ms_ = 0;  // the lease, as far as is known here; 0: none
  protocol::ControlOutcome refusal_;
};

}  // namespace sink::client
