// A connection of several links against a scripted server on loopback.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "client_stage.h"
#include "pool_server.h"

namespace sink::test {

struct PoolStage : Stage {
  struct User : Device {
    void on_link(const client::LinkChange& change) override {
      changes.push_back(std::to_string(change.number) + (change.up ? " up" : " down"));
      if (when_link) when_link(change);
    }
    Words changes;
    std::function<void(const client::LinkChange&)> when_link;
  };

  explicit PoolStage(uint8_t links = 4) : Stage(false), cloud(*server) { set_up(links); }
  // With TLS, and a certificate that is for its name only.
  explicit PoolStage(const std::string& name) : Stage(true, "named"), cloud(*server) {
    options.server.host = name;
    set_up(2);
  }
  void set_up(uint8_t links) {
    options.protocol_version = 1;
    options.links = links;
    options.backoff = {1, 4, 0, 0};
    options.recycle_ms = 0;
  }
  ~PoolStage() {
    connection.reset();
    server->on_gone = [](auto&) {};
  }
  void start(size_t links = 4) {
    connection = std::make_unique<client::Connection>(&loop, options, persistence, user);
    connection->start();
    until([&] { return cloud.up() == links && up_links() == links; });
  }
  size_t up_links() const {
    const auto all = connection->links();
    return static_cast<size_t>(std::count_if(all.begin(), all.end(), [](const auto& link) {
      return link.state == client::ConnectionState::connected;
    }));
  }
  void publish(const std::string& key, uint64_t offset) {
    REQUIRE(connection->publish({1, 1, key, offset, 0, "data"}, offset) ==
            client::PublishResult::queued);
  }
  // A key that takes this link while nothing of it is under way.
  std::string key_on(uint8_t link) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = "probe-" + std::to_string(i);
      const size_t before = cloud.arrived.size();
      const size_t answered = user.acked.size();
      publish(key, 1'000'000 + probes_++);
      until([&] { return user.acked.size() > answered; });
      if (cloud.arrived[before].first == link) return key;
    }
    FAIL("no key takes link " << int{link});
    return "";
  }
  // One whose event 1 has arrived and awaits its answer, over a link that is down and stays so.
  std::string key_on_broken(uint8_t link) {
    const std::string key = key_on(link);
    server->stop_listening();
    cloud.at(link).accepts = false;
    publish(key, 1);
    until([&] { return arrived(key).size() == 1; });
    const size_t before = up_links();
    cloud.cut(link);
    until([&] { return up_links() < before; });
    return key;
  }
  Words arrived(const std::string& key) const {
    Words names;
    for (const auto& [link, name] : cloud.arrived)
      if (name.substr(0, key.size() + 1) == key + "/" && name.size() < key.size() + 8)
        names.push_back(std::to_string(link) + ":" + name.substr(key.size() + 1));
    return names;
  }

  PoolServer cloud;
  User user;

 private:
  uint64_t probes_ = 0;
};

// The ids and the session under these two keys.
inline std::shared_ptr<client::Persistence> keeping_in(std::map<std::string, std::string>& kept) {
  return std::make_shared<client::KeyValuePersistence>(
      client::KeyValuePersistence::Store{
          [&](const std::string& key) {
            return kept.count(key) == 0 ? std::nullopt : std::optional(kept[key]);
          },
          [&](const std::string& key, std::string_view value) {
            kept[key] = value;
            return tl::expected<void, std::string>();
          }},
      "ids", "session");
}

}  // namespace sink::test
