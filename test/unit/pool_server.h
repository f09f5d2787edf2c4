// What a FakeServer does for a client of version 1 that comes over several links: a session for each,
// by the rules of docs/protocol.md section 10. It keeps what arrived over which.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fake_session.h"

namespace sink::test {

class PoolServer {
 public:
  explicit PoolServer(FakeServer& server) : server_(server) {
    server.on_greeting = [this](const protocol::Greeting& greeting) {
      greeted_ = greeting.link;
      ++greetings[greeting.link];
      protocol::Welcome words = at(greeting.link).on_greeting(greeting);
      words.limits.links = takes;
      return words;
    };
    server.on_connected = [this](FakeServer::Peer& peer) {
      FakeSession& session = at(greeted_);
      if (session.peer != nullptr) server_.drop(*session.peer);  // taken over
      session.peer = &peer;
      session.on_connected();
    };
    server.on_publish = [this](FakeServer::Peer& peer, const protocol::Publish& publish) {
      const uint8_t link = link_of(peer);
      arrived.emplace_back(link, std::string(publish.event.key) + "/" +
                                     std::to_string(publish.event.offset));
      at(link).on_publish(publish);
    };
    server.on_gone = [this](FakeServer::Peer& peer) {
      for (auto& [link, session] : sessions_)
        if (session.peer == &peer) session.peer = nullptr;
    };
  }

  FakeSession& at(uint8_t link) {
    return sessions_.try_emplace(link, server_, FakeSession::OneOfSeveral{}).first->second;
  }
  void cut(uint8_t link) {
    REQUIRE(at(link).peer != nullptr);
    server_.drop(*at(link).peer);
  }
  size_t up() const {
    return static_cast<size_t>(std::count_if(sessions_.begin(), sessions_.end(), [](auto& entry) {
      return entry.second.peer != nullptr;
    }));
  }

  uint8_t takes = 4;
  std::map<uint8_t, int> greetings;                         // by link
  std::vector<std::pair<uint8_t, std::string>> arrived;     // link, "key/offset"

 private:
  uint8_t link_of(const FakeServer::Peer& peer) const {
    for (const auto& [link, session] : sessions_)
      if (session.peer == &peer) return link;
    FAIL("an event from a connection that was never welcomed");
    return 0;
  }

  FakeServer& server_;
  std::map<uint8_t, FakeSession> sessions_;
  uint8_t greeted_ = 0;
};

}  // namespace sink::test
