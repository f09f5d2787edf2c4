// A device that is made of the client library: its Link, queue and sessions over one link or
// several, as link_pool.h drives them, with one of the gateways that it knows at a time, as
// connection_core_servers.cc chooses. Publishes and consumes. Not responsible for judging what a
// gateway does; what the library must not do it tells the referee. Deterministic.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/durable_state.h"
#include "client/link.h"
#include "client/servers.h"
#include "protocol/key_slots.h"
#include "test/simulation/gateway.h"
#include "test/simulation/link_faults.h"
#include "test/simulation/sdk_channels.h"

namespace sink::simulation {

class SdkDevice {
 public:
  // One of those that it knows.
  struct Place {
    Stage* stage;
    Gateway* gateway;
    bool is_dialled = true;  // else it is there only when it calls
  };
  // The first of `places` is dialled. Null: it has no channels; they are with one gateway alone.
  SdkDevice(const std::vector<Place>& places, Coverage& coverage, std::string name, size_t links,
            ChannelOracle* oracle);

  void advance();
  uint64_t next_ms() const;
  void heal();
  void stop_publishing() { publishing_ = false; }
  void on_rot();
  bool idle() const;  // every event has its answer, and every message

  const std::string& name() const { return name_; }
  uint32_t instance_id() const { return kInstance; }

 private:
  static constexpr uint32_t kInstance = 4'242;
  static constexpr uint64_t kHandshakeMs = 5'000;
  struct Lane {
    explicit Lane(uint8_t its_number);
    uint8_t number;
    client::DurableState durable;
    std::unique_ptr<client::Link> link;
    std::shared_ptr<Link> wire;
    LinkFaults faults{LinkFaults::Stalls::sometimes_long};
    uint64_t connect_at_ms = 0;
    uint64_t greeted_ms = 0;  // when the handshake began
    uint64_t up_ms = 0;       // when it was last seen up
    uint32_t sessions = 0;
    bool up() const { return link && link->state() == client::LinkState::connected; }
  };
  struct Received {
    client::DeliveryId id;
    uint64_t due_ms = 0;
  };

  // A gateway beside the present one, until its handshake is complete.
  struct Candidate {
    explicit Candidate(size_t its_server) : server(its_server), lane(0) {}
    size_t server;
    Lane lane;
  };

  bool may_open(const Lane& lane) const;
  void connect(Lane& lane);
  bool open(Lane& lane, size_t server);
  void read(Lane& lane);
  void dispatch(Lane& lane, const client::LinkEvent& event);
  void on_welcome(Lane& lane, const client::HandshakeDone& done);
  void write(Lane& lane);
  // `refused`: the gateway wants no other connection before then.
  void lose(Lane& lane, uint64_t back_in_ms, bool refused = false);
  void leave_events(Lane& lane);
  void retire(Lane& lane);
  void part(Lane& lane, protocol::GoodbyeReason reason);

  // sdk_device_servers.cc
  void turn_to(size_t server) { servers_.turn_to(server, identity_, lanes_[0]->durable); }
  void await_turn(bool was_up, uint64_t back_in_ms, bool refused);
  void take_calls();
  bool take_call(size_t server);
  bool begin_contest(size_t server);
  void run_contest();
  std::optional<client::HandshakeDone> read_candidate();
  void end_candidate();
  void decide(const client::HandshakeDone& done);
  void switch_to(const client::HandshakeDone& done);
  void count(const char* what) { coverage_.count(std::string("two gateways: ") + what); }

  uint64_t lane_deadline_ms(const Lane& lane) const;
  void act();
  void publish();
  void answer_due();
  void break_something();
  size_t lane_for(uint64_t key) const;
  client::ChannelPort port();
  client::PublishResult push(const protocol::EventView& event, uint64_t tag);
  template <class Answer>
  bool answer(client::DeliveryId id, Answer&& answer);
  void on_answered(const client::PublishAnswered& answered);

  std::vector<Place> places_;
  Stage& stage_;  // of the first place
  Coverage& coverage_;
  const std::string name_;
  client::Servers servers_;
  client::Identity identity_{kInstance, std::nullopt, {}};
  std::optional<Candidate> candidate_;
  uint64_t look_at_ms_ = 0;
  size_t met_ = 0;  // the server of the last welcome
  std::vector<std::unique_ptr<Lane>> lanes_;
  protocol::KeySlots slots_;
  std::map<std::string, uint64_t> offsets_;  // the newest of each type and key
  std::set<uint64_t> open_;                  // tags without an answer
  std::vector<Received> received_;           // to be answered
  uint64_t tags_ = 0;
  uint64_t act_at_ms_ = 0;
  uint64_t wires_ = 0;
  size_t takes_ = 1;  // links that the gateway takes
  bool publishing_ = true, healed_ = false;
  std::optional<SdkChannels> channels_;
};

}  // namespace sink::simulation
