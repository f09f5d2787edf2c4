// A simulated reader of the log: asks for page after page with a cursor of its own, over the same
// bad network and the same bad disk as everybody. Judges what it reads: a position has one event
// for ever, positions ascend, and nothing that was acknowledged is left out unsaid.
#pragma once

#include <map>
#include <string>

#include "test/simulation/peer.h"

namespace sink::simulation {

class Auditor final : public Peer {
 public:
  Auditor(Stage& stage, Gateway& gateway, std::string name);

  void heal() override;
  // Has read all that there is.
  bool idle() const;
  // Every event that was ACKed must be among those read.
  bool saw_everything() const { return !trimmed_ && missing_ == 0; }

 private:
  void on_message(const protocol::Message& message) override;
  void on_welcome() override { asked_ = false; }
  void on_lost() override { asked_ = false; }
  uint64_t act(uint64_t now_ms) override;
  void take(const protocol::LogPage& page);

  std::map<uint64_t, std::string> read_;  // position -> the event
  uint64_t position_ = 0;                 // the cursor
  uint64_t end_ = 0;                      // as the last page said
  uint64_t missing_ = 0;
  bool asked_ = false;
  bool trimmed_ = false;  // something went before it was read
  bool begun_ = false;
  bool healed_ = false;
};

}  // namespace sink::simulation
