// What stands behind a Connection: drives one Link after the other over one Transport after the
// other. Not responsible for bytes (transport.h) or for the protocol (link.h). Invariants: each
// entry from libuv ends in flush(), so that a loop turn's frames leave in one write; the core frees
// itself once its facade is gone and its last handle has closed.
//
//   idle --start--> loading --> opening --open--> greeting --hello--> saving --> connected
//                     ^            ^                 |                   |          |
//                     +- waiting <-+-----------------+-------------------+----------+
//                           no attempt is left --> failed
//   where no server is connected to but all call: loading --> listening --call--> greeting
//   any --close--> finishing --server's end or 1 s--> closed; when its handles have closed the core
//   is freed
#pragma once

#include <uv.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/candidate.h"
#include "client/farewell.h"
#include "client/outbox_keeper.h"
#include "client/reception.h"
#include "client/servers.h"
#include "client/service_offers.h"
#include "client/session_keeper.h"
#include "client/sink_client.h"
#include "client/state_keeper.h"
#include "client/successor.h"
#include "client/transport.h"

namespace sink::client {

// Which link of a pool the connection is.
struct PoolPlace {
  uint8_t number = 0;
  bool watched = false;  // Link pings, and notices that nothing answers
};

// An event that has no answer yet.
struct Unanswered {
  uint64_t tag = 0;
  std::string payload;  // encoded
};

// What a link leaves to another.
struct LeftBehind {
  std::vector<Unanswered> events;  // oldest first
  bool room_wanted = false;        // on_room is due
};

class ConnectionCore final : public Transport::Owner, public Candidate::Owner {
 public:
  ConnectionCore(uv_loop_t* loop, Options options, std::shared_ptr<Persistence> persistence,
                 Listener& listener, PoolPlace place = {});

  void start();
  PublishResult publish(const protocol::EventView& event, uint64_t tag);
  bool request(const protocol::ControlRequest& request, uint64_t tag);
  bool expose(protocol::Expose offer);
  bool withdraw(const std::string& name);
  void remind_in(uint64_t delay_ms);
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);
  void flush();
  void close();
  void abandon();
  ConnectionState public_state() const { return public_state_; }
  const DurableState& durable() const { return durable_; }
  std::string listening_address() const { return reception_ ? reception_->address() : ""; }

  // ---- as one link of a pool: connection_core_pool.cc ----
  // Where the present server was reached. nullopt: it has called.
  std::optional<KnownServer> reached() const;
  // Everything that has no answer leaves the queue, and is reported no more.
  LeftBehind take_back();
  // Of another link: goes on here, whatever the limits.
  void take_over(const LeftBehind& left);
  // Another link had an event from the server of that key.
  void note_delivery(const std::string& server_key);
  // Where the server is from the next attempt on.
  void aim_at(const protocol::Endpoint& endpoint);
  // Makes a new connection to the same server, which then resumes the session. One that is under
  // way still is given up.
  void renew();
  // How fast the present link answers; null: there is none, or it is not watched.
  const protocol::LinkHealth* health() const { return link_ ? link_->health() : nullptr; }

 private:
  enum class State : uint8_t {
    idle,
    loading,
    listening,
    waiting,
    opening,
    greeting,
    saving,
    connected,
    failed,
    finishing,
    closed
  };
  void load_identity(protocol::Bytes reason);
  void save_identity(uint32_t server_instance_id);
  void load_session();
  void load_outbox();
  void report_not_kept(const std::string& problem);
  void keep();
  void on_kept(const tl::expected<std::vector<KeptEvent>, OutboxError>& written);
  void give_up_the_rest(DropReason reason);
  void begin();
  void open();
  void on_open() override;
  void on_input(protocol::Bytes bytes) override;
  void on_writable() override;
  void on_end(Stage stage, std::string reason) override;
  void process_input();
  void dispatch(const LinkEvent& event);
  void refused(const LinkRefused& refusal);
  LinkOptions link_options();
  void report_connected(const HandshakeDone& done);
  bool fall_back(const LinkRefused& refusal);
  void report_room();
  void report_unreplied();
  void report_reply(const ReplyReceived& reply);
  void report_service(const ServiceNotice& notice);
  void run_offers();
  bool make_room();
  void drop_aged();
  void watch_ages();
  void report_dropped(DropReason reason, const std::vector<DroppedEvent>& events);
  PublishQueue::Reach droppable() const;
  void write_output();
  uint64_t end_attempt(uint64_t at_least_ms, const std::string& reason);
  void after_attempt();
  void enter_failed(const std::string& reason);
  void fail_for_good(const std::string& reason);
  void enter(ConnectionState to, protocol::Bytes reason);
  void fail(Stage stage, std::string reason);
  void arm(uint64_t delay_ms);
  void arm_keepalive();
  void on_timer();
  void on_keepalive_due();
  void flush_soon();
  void finish_closing();
  void release();
  bool may_answer_later(DeliveryId id) const;
  bool may_answer_now(DeliveryId id) const {
    return state_ == State::connected && id.connection == session_;
  }
  void answered(DeliveryId id);

  // ---- several servers: connection_core_servers.cc ----
  size_t present() const { return servers_.present(); }
  void turn_to(size_t server) { servers_.turn_to(server, identity_, durable_); }
  bool receive_callers();
  void await_call(const std::string& reason);
  void on_called(size_t server, std::unique_ptr<Transport> transport);
  void take_call(size_t server, std::unique_ptr<Transport> transport);
  void go_on_with(std::unique_ptr<Transport> transport, protocol::Bytes reason);
  void begin_contest(std::unique_ptr<Candidate> candidate);
  uint8_t candidate_version(size_t server) override;
  void on_candidate_heard(size_t server) override;
  void save_candidate(size_t server, uint32_t server_id) override;
  void on_candidate_ready(HandshakeDone done) override;
  void on_candidate_refused(size_t server, const LinkRefused& refusal) override;
  void on_candidate_lost() override;
  void switch_to(const HandshakeDone& done);
  void say_farewell(std::unique_ptr<Transport> transport, Link& link);
  void look_around();
  void arm_contest();
  void on_contest_due();
  void end_contests();
  void sweep_contests();
  void report_contest(size_t server, ContestOutcome outcome, protocol::Bytes reason);

  void succeed();
  void leave_link();
  void arm_sooner();

  bool over() const { return state_ == State::finishing || state_ == State::closed; }
  uint64_t now_ms() const { return uv_now(loop_); }

  uv_loop_t* loop_;
  Options options_;
  const PoolPlace place_;
  StateKeeper keeper_;
  Servers servers_;
  SessionKeeper sessions_;
  OutboxKeeper outbox_;
  ServiceOffers offers_;
  Listener* listener_;  // null once abandoned
  DurableState durable_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Link> link_;  // stays, ended, until the next attempt: callers may hold its views
  std::unique_ptr<Reception> reception_;
  std::unique_ptr<Candidate> candidate_;  // over: it waits to be swept away
  std::vector<std::unique_ptr<Farewell>> farewells_;
  std::unique_ptr<Successor> successor_;  // over: it stays until the next
  Identity identity_;   // as kept: the ids of all servers
  uv_timer_t contest_timer_{};
  uv_timer_t timer_{};
  uv_timer_t age_timer_{};
  uv_timer_t reminder_{};
  uv_timer_t outbox_timer_{};  // runs while the outbox has no room
  uv_idle_t turn_end_{};
  State state_ = State::idle;
  ConnectionState public_state_ = ConnectionState::disconnected;
  uint32_t attempts_ = 0;
  uint64_t contests_ = 0;
  uint32_t session_ = 0;  // counts sessions; fences DeliveryIds
  std::string goodbye_;   // the server's last word on this connection
  bool replaces_ = false;       // this attempt follows a connection that was up
  bool new_client_ = false;
  bool was_connected_ = false;
  bool room_wanted_ = false;
  bool making_room_ = false;
  bool identified_ = false;  // identity_ is what is kept on disk
  bool begun_ = false;       // the first server is chosen
  bool restored_ = false;    // what the outbox keeps is in the queue
  bool abandoned_ = false;   // the facade is gone
  int open_handles_ = 6;     // must close before the core is freed
};

}  // namespace sink::client
