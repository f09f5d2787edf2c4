// A server that calls, or is tried, while the client is with another one: its connection until the
// handshake is complete, in a state of its own, so that nothing of the present session is touched.
// Not responsible for the choice (arbitration.h). Invariants: it publishes nothing; whatever the
// server delivers before the choice is not looked at.
//
//   opening --stream--> greeting --connected--------------------> ready
//      |                   |  \--hello--> saving --saved--^
//      +-------------------+-----> over: refused, lost, too slow
#pragma once

#include <uv.h>

#include <memory>
#include <optional>
#include <string>

#include "client/durable_state.h"
#include "client/link.h"
#include "client/transport.h"

namespace sink::client {

class Candidate final : public Transport::Owner {
 public:
  // None of these may destroy the candidate; the last three are its end.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual uint8_t candidate_version(size_t server) = 0;             // to be asked for
    virtual void on_candidate_heard(size_t server) = 0;               // its first words
    virtual void save_candidate(size_t server, uint32_t server_id) = 0;  // then saved()
    virtual void on_candidate_ready(HandshakeDone done) = 0;  // takes link and transport
    virtual void on_candidate_refused(size_t server, const LinkRefused& refusal) = 0;
    virtual void on_candidate_lost() = 0;
  };

  // `link` but for the version. The transport is open already where the server has called.
  Candidate(uv_loop_t* loop, size_t server, Identity identity, const LinkOptions& link,
            std::unique_ptr<Transport> transport, Owner& owner);
  Candidate(uv_loop_t* loop, size_t server, Identity identity, const LinkOptions& link,
            const Transport::Target& target, Owner& owner);
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  void begin();
  void saved();
  // It is not wanted any more.
  void cancel();

  size_t server() const { return server_; }
  bool over() const { return over_; }
  // Once it is ready: to go on with, or to say goodbye to.
  std::unique_ptr<Transport> take_transport() { return std::move(transport_); }
  std::unique_ptr<Link> take_link() { return std::move(link_); }

 private:
  void on_open() override;
  void on_input(protocol::Bytes bytes) override;
  void on_writable() override { flush(); }
  void on_end(Stage stage, std::string reason) override;
  void read_on();
  void flush();
  void dispatch(const LinkEvent& event);

  uv_loop_t* loop_;
  const size_t server_;
  LinkOptions link_options_;
  Owner& owner_;
  DurableState durable_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Link> link_;
  std::optional<HandshakeDone> done_;
  bool called_ = false;  // the server has; its transport is open
  bool over_ = false;
};

}  // namespace sink::client
