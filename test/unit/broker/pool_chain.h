// Two whole brokers, one the upstream of the other, with as many connections between them as the
// lower one dials.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/unit/broker/world.h"

namespace sink::broker::test {

struct PoolChain {
  explicit PoolChain(uint32_t links, uint64_t seed = 1) : gateway(seed), cloud(seed + 1) {
    cloud.subscribe("all", "backend").in_flight = 4'000;
    cloud.subscribe("commands", "gw").sources = {"backend"};
    gateway.subscribe("up", "uplink:cloud").sources = {"meter"};
    gateway.subscribe("down", "meter").sources = {"uplink:cloud"};
    UplinkSpec& spec = gateway.uplinks.emplace_back();
    spec.name = "cloud";
    spec.servers = {"cloud:2020"};
    spec.links = links;
    cloud.start();
    gateway.start();
    gateway.device("meter").connect();
    cloud.device("backend").connect();
    settle();
  }

  // One connection: its end at the gateway, and at the cloud.
  struct Wire {
    Device* near = nullptr;
    Device* far = nullptr;
    bool is_free() const { return near->connection == 0 && far->connection == 0; }
    bool deaf = false;  // carries nothing, and nobody is told
  };

  Uplink& uplink() { return *gateway.broker().uplinks().all().front(); }
  Tracker& up() { return gateway.tracker("up", "uplink:cloud"); }
  // The wire that a link is connected by.
  Wire& wire_of(size_t link) {
    for (Wire& wire : wires)
      if (wire.near->connection == uplink().links[link].connection) return wire;
    FAIL("the link has no wire");
    return wires.front();
  }
  size_t links_up() {
    size_t up = 0;
    for (const UplinkLink& link : uplink().links) up += link.state == UplinkState::connected;
    return up;
  }

  void settle() {
    for (bool happened = true; happened;) {
      happened = false;
      while (reachable && !gateway.dials.empty()) {
        Wire& wire = free_wire();
        gateway.answer_dial(*wire.near);
        wire.far->begin_connect();
      }
      happened = gateway.settle();
      happened = cloud.settle() || happened;
      for (Wire& wire : wires) {
        if (wire.deaf || (wire.near->connection == 0) == (wire.far->connection == 0)) continue;
        (wire.near->connection == 0 ? wire.far : wire.near)->begin_drop();
        happened = true;
      }
    }
  }
  void reload() {
    gateway.reconfigure();
    settle();
  }
  void recycle_every(uint64_t ms) {
    gateway.uplinks[0].recycle_ms = ms;
    reload();
  }
  // Two ways to the one server.
  void lead_two_ways() {
    gateway.uplinks[0].servers = {"cloud:2020", "cloud:2021"};
    reload();
    cloud.device("backend").connect();
  }
  void cut(Wire& wire) {
    wire.near->begin_drop();
    wire.far->begin_drop();
    wire.deaf = false;
    settle();
  }
  void cut_all() {
    for (size_t i = 0; i < wires.size(); ++i) cut(wires[i]);
  }
  void advance(uint64_t ms) {
    for (const uint64_t step = 250; ms > 0; ms -= std::min(ms, step)) {
      gateway.advance(std::min(ms, step));
      cloud.advance(std::min(ms, step));
      settle();
    }
  }
  void publish(int keys, uint64_t offset) {
    for (int key = 0; key < keys; ++key)
      gateway.device("meter").publish("k" + std::to_string(key), offset);
    settle();
  }
  // The offsets that the backend has received since it was last asked, of each key, in their order.
  std::map<std::string, std::string> received() {
    std::map<std::string, std::string> offsets;
    std::string events = cloud.device("backend").take() + " ";
    for (size_t at = 0; events.size() > 1 && at < events.size();) {
      const size_t end = events.find(' ', at);
      const std::string event = events.substr(at, end - at);
      const size_t slash = event.find('/');
      std::string& row = offsets[event.substr(0, slash)];
      row += (row.empty() ? "" : " ") + event.substr(slash + 1);
      at = end + 1;
    }
    return offsets;
  }

  World gateway, cloud;
  std::deque<Wire> wires;
  bool reachable = true;

 private:
  Wire& free_wire() {
    for (Wire& wire : wires)
      if (wire.is_free() && !wire.deaf) return wire;
    const std::string number = std::to_string(wires.size());
    Wire& wire = wires.emplace_back();
    wire.near = &gateway.device("~wire" + number);
    wire.far = &cloud.device("~far" + number);
    wire.far->name = "gw";
    wire.near->on_raw_bytes = [&wire](protocol::Bytes bytes) {
      if (!wire.deaf) wire.far->send(std::string(bytes));
    };
    wire.far->on_raw_bytes = [&wire](protocol::Bytes bytes) {
      if (!wire.deaf) wire.near->send(std::string(bytes));
    };
    return wire;
  }
};

}  // namespace sink::broker::test
