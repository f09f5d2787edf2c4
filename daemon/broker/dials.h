// Clients that listen, and that this gateway calls ([[dial]]): when to call which, and when not to.
// Not responsible for name lookups, sockets or TLS (Caller), nor for what is said: a connection
// that a call has led to is an accepted one like any other. Invariants: at most one call of a
// client is under way, and none while it is connected, by its first link if it has several; who has
// said goodbye over that is called again only as its reason allows.
//
//   waiting --due--> calling --it connects--> connected --goodbye another_server-------> resting
//      ^                |                         |     \--shutdown, user_request--> stopped
//      +----------------+-------------------------+ restart, none, no goodbye
//   resting --there are events for it--> calling      stopped --the operator calls--> waiting
//   any --it connects by itself--> connected
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/broker/core.h"
#include "daemon/broker/dial_spec.h"
#include "protocol/backoff.h"
#include "protocol/control/control.h"

namespace sink::broker {

class Sessions;

// Makes calls. Each is answered by Broker::call_ended once, never from within: when there will be
// no connection, or when the one that it has led to is gone.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual void call(const DialSpec& dial) = 0;
};

enum class DialState : uint8_t { waiting, calling, connected, resting, stopped };

struct Dial {
  DialSpec spec;
  DialState state = DialState::waiting;
  bool under_way = false;  // a call whose end has not been told
  uint64_t due_ms = 0;     // waiting, resting: not before
  bool looked = false;     // resting: since due_ms there was nothing for it
  protocol::Backoff backoff;
  std::string last_error;
  uint64_t last_error_ms = 0;  // Unix time; 0: none
  uint64_t calls = 0, failures = 0;
};

class Dials {
 public:
  Dials(Core& core, Sessions& sessions) : core_(core), sessions_(sessions) {}

  // One sentence for each thing that changed.
  std::vector<std::string> configure(const std::vector<DialSpec>& specs, Caller* caller);
  void call_ended(std::string_view client, std::string reason);

  // ---- Sessions, of the client's first link ----
  void on_joined(const Client& client);
  // `goodbye` is the client's last word, if it had one.
  void on_left(const Client& client, std::optional<protocol::GoodbyeReason> goodbye);

  void run_due();
  std::optional<uint64_t> deadline_ms() const;

  // The operator wants it called now. False: it is connected, or called already.
  bool call_now(Dial& dial);

  const std::vector<std::unique_ptr<Dial>>& all() const { return dials_; }
  Dial* find(std::string_view client);

 private:
  // Of the first that is not before `client`.
  std::vector<std::unique_ptr<Dial>>::iterator place_of(std::string_view client);
  bool may_call() const;
  void call(Dial& dial);
  void wait(Dial& dial, DialState state);
  void note_error(Dial& dial, std::string reason);

  Core& core_;
  Sessions& sessions_;
  Caller* caller_ = nullptr;
  std::vector<std::unique_ptr<Dial>> dials_;  // by client
};

// There is an event for the client that could be sent were it here.
bool has_undelivered(const Client& client);

}  // namespace sink::broker
