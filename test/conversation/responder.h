// A minimal peer around a Session: decides requests, acknowledges or refuses events, answers PING.
// Not responsible for what is expected of it. Invariant: after it has ended it says nothing more.
#pragma once

#include <string>
#include <vector>

#include "protocol/session.h"
#include "test/conversation/conversation.h"

namespace sink::test {

// Everything that has happened since the start of the conversation.
struct Outcome {
  std::vector<std::string> messages;
  std::string output;
  Ending ending = Ending::open;
  std::string reason;
  bool operator==(const Outcome&) const = default;
};

class Responder {
 public:
  // Borrows `script`.
  explicit Responder(const Script& script) : script_(script), session_(script.role) {}

  // Lends `bytes` from a block of its own that is released before this returns.
  void receive(protocol::Bytes bytes);

  // Answers the pending request, then reads what waited behind it.
  void decide();

  const Outcome& outcome() const { return outcome_; }

 private:
  void read();
  void act_on(const protocol::Message& message);
  void on_response(protocol::ResponseCode code);
  void on_publish(const protocol::Publish& publish);
  void answer_request();
  void end(Ending ending, std::string reason = {});

  const Script& script_;
  protocol::Session session_;
  Outcome outcome_;
  protocol::ConnectionRequest request_;  // its views are gone once the loan ends; ids remain
};

// A message in the words of the conversation files.
std::string in_words(const protocol::Message& message);

}  // namespace sink::test
