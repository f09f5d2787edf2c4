// A device that is made of the client library: its Link, queue and sessions over one link or
// several, as link_pool.h drives them. Publishes and consumes. Not responsible for judging what
// the gateway does; what the library must not do it tells the referee. Deterministic.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/durable_state.h"
#include "client/link.h"
#include "protocol/key_slots.h"
#include "test/simulation/gateway.h"
#include "test/simulation/link_faults.h"
#include "test/simulation/sdk_channels.h"

namespace sink::simulation {

class SdkDevice {
 public:
  // Null: it has no channels.
  SdkDevice(Stage& stage, Gateway& gateway, std::string name, size_t links, ChannelOracle* oracle);

  void advance();
  uint64_t next_ms() const;
  void heal();
  void hang_up();
  void stop_publishing() { publishing_ = false; }
  void on_rot();
  bool idle() const;  // every event has its answer, and every message

  const std::string& name() const { return name_; }
  uint32_t instance_id() const { return kInstance; }

 private:
  static constexpr uint32_t kInstance = 4'242;
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

  bool may_open(const Lane& lane) const;
  void connect(Lane& lane);
  void read(Lane& lane);
  void dispatch(Lane& lane, const client::LinkEvent& event);
  void on_welcome(Lane& lane, const client::HandshakeDone& done);
  void write(Lane& lane);
  void lose(Lane& lane, uint64_t back_in_ms);
  void leave_events(Lane& lane);
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

  Stage& stage_;
  Gateway& gateway_;
  const std::string name_;
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
