// Where servers call: listens, takes few connections at a time, and hands over those whose
// certificate names a server that is known here. Not responsible for the handshake of Sink nor for
// the choice between servers. Invariants: at most kCallersMax have not proved themselves, each for
// at most kProofMs; one more takes the place of the oldest, if that has had kPatienceMs, else it is
// closed at once.
#pragma once

#include <uv.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "client/transport.h"
#include "protocol/endpoint.h"
#include "tls/context.h"

namespace sink::client {

class Reception {
 public:
  static constexpr size_t kCallersMax = 4;
  static constexpr uint64_t kProofMs = 5'000;
  static constexpr uint64_t kPatienceMs = 1'000;

  // A caller that is the server of this index of `names`; its transport is open.
  using Proved = std::function<void(size_t server, std::unique_ptr<Transport> transport)>;

  Reception(uv_loop_t* loop, std::shared_ptr<const tls::ClientContext> tls,
            std::vector<std::string> names, Proved on_proved);
  ~Reception();
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;

  // `address` is numeric; port 0: the system chooses. The error says what to change.
  [[nodiscard]] tl::expected<void, std::string> listen(const protocol::Endpoint& address);
  // Where it listens; empty: it does not.
  std::string address() const;

  uint64_t turned_away() const { return turned_away_; }  // callers that have proved nothing

 private:
  struct Handles;
  class Caller;

  void accept();
  void turn_away();
  void sweep();
  void watch();
  void proved(Caller& caller);

  uv_loop_t* loop_;
  std::shared_ptr<const tls::ClientContext> tls_;
  std::vector<std::string> names_;
  Proved on_proved_;
  Handles* handles_;  // free themselves
  std::list<std::unique_ptr<Caller>> callers_;
  uint64_t turned_away_ = 0;
};

}  // namespace sink::client
