// A simulated end of durable channels: the owner of a service, which keeps it exposed, or a client
// that opens channels to it. Both send messages, send again what was refused or lost, answer what
// comes, close channels now and then, and ask after every welcome which there are. What it has made
// it remembers for ever. The judgement is the ChannelOracle's.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/control/control.h"
#include "test/simulation/channel_oracle.h"
#include "test/simulation/peer.h"

namespace sink::simulation {

class ChannelEnd final : public Peer {
 public:
  enum class Role : uint8_t { owner, opener };
  static constexpr const char* kService = "com.example.echo@1.0.0";

  ChannelEnd(Stage& stage, Gateway& gateway, std::string name, Role role, ChannelOracle& oracle);

  void heal() override;
  // Its memory outlives it.
  void wipe() override { hang_up(); }
  void on_rot() { rotten_ = true; }
  // Everything has an answer, and the gateway has said which channels there are.
  bool idle() const;

 private:
  struct Message {
    std::string payload;
    bool in_flight = false;
  };
  struct Line {
    bool owns = false;  // this end owns the service
    bool closing = false;
    uint64_t made = 0;                 // the offset of its last message
    std::map<uint64_t, Message> open;  // without an answer, by offset
    uint64_t not_before_ms = 0;        // after a refusal
  };
  struct Place {
    std::string channel;
    uint64_t offset = 0;
  };
  struct Unanswered {
    uint16_t id = 0;
    uint64_t due_ms = 0;
  };

  void on_welcome() override;
  void on_message(const protocol::Message& message) override;
  void on_lost() override;
  void on_unreceived(const std::vector<uint16_t>& ids) override;
  uint64_t act(uint64_t now_ms) override;
  std::optional<protocol::ControlRequest> wish();
  void ask(protocol::ControlRequest request, std::string& frames);
  void on_told(const protocol::ControlRequest& told);
  void on_outcome(const protocol::ControlOutcome& outcome);
  void on_page(const protocol::ChannelPage& page);
  Line& learn(const protocol::ChannelInfo& info);
  void on_delivery(const protocol::Deliver& deliver);
  void on_publish_answer(uint16_t id, const protocol::Nack* nack);
  void make_messages();
  void send_due(std::string& frames);
  void judge(const std::optional<std::string>& wrong);

  const Role role_;
  ChannelOracle& oracle_;
  std::map<std::string, Line> lines_;  // by the channel's key
  std::map<uint16_t, Place> in_flight_;
  std::vector<Unanswered> unanswered_;
  std::optional<protocol::ControlRequest> asked_;
  std::set<std::string> listed_;             // on the pages so far
  std::optional<protocol::Uuid> page_after_;
  std::vector<protocol::AdvanceChannel> lost_;  // by the gateway, which has to be told
  bool knows_all_ = false;                   // on this connection
  std::optional<protocol::Uuid> lease_;
  uint64_t refresh_at_ms_ = 0;
  uint16_t next_id_ = 0;
  bool rotten_ = false, healed_ = false;
};

}  // namespace sink::simulation
