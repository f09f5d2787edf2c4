// Several links of one client to one server as one connection: the first finds the server and
// hears how many links that takes, the others go where it is. Each link is a ConnectionCore with a
// queue and a session of its own. Not responsible for what one link does. Invariants: while events
// of a key are unanswered, its next ones go over the same link; a link that goes for good, or is
// down for longer than its session lives, leaves its events to the first; each event is reported
// once.
#pragma once

#include <uv.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/connection_core.h"
#include "client/sink_client.h"
#include "protocol/key_slots.h"

namespace sink::client {

class LinkPool final {
 public:
  LinkPool(uv_loop_t* loop, const Options& options, Listener& user);
  ~LinkPool();
  LinkPool(const LinkPool&) = delete;
  LinkPool& operator=(const LinkPool&) = delete;

  // Whom link 0 tells; then link 0 itself, which its maker abandons once the pool is gone.
  Listener& listener_of_first();
  void set_first(ConnectionCore& first);

  PublishResult publish(const protocol::EventView& event, uint64_t tag);
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);
  void flush();
  void close();

  size_t unanswered() const;
  const Counters& counters() const;
  std::vector<LinkStatus> links() const;

 private:
  class Member;
  struct Clock;

  void open_links(const Connected& connected);
  void open_link(uint8_t number, const KnownServer& server);
  void retire(std::unique_ptr<Member>& member);  // it reports what it has no answer to itself
  void retire_from(size_t number);                // and leaves that to the first
  void stop_clock();
  void forget(Member& member);
  void leave_events(Member& member);
  uint8_t link_for(uint64_t key) const;
  Member* member_of(DeliveryId& id);
  bool is_up(size_t number) const;
  void on_time();
  void arm();
  void recycle();

  uv_loop_t* loop_;
  const Options options_;
  Listener& user_;
  Clock* clock_;  // frees itself; null once this closes
  std::array<std::unique_ptr<Member>, protocol::kLinksMax> members_;  // by number; the first lasts
  std::vector<std::unique_ptr<Member>> retired_;  // until they have closed
  protocol::KeySlots slots_;
  std::string server_key_;       // the one that the first has reached, like the next
  uint32_t server_id_ = 0;
  uint32_t wanted_ = 1;          // links that there should be
  uint32_t connections_ = 0;     // so far, as DeliveryId tells them apart
  uint64_t recycle_at_ms_ = 0;   // 0: there is one link only
  Counters past_;                // of links that are gone
  mutable Counters sum_;
  std::optional<uint8_t> publishing_;  // the link that an event is on its way to
  std::shared_ptr<const bool> lives_ = std::make_shared<bool>(true);  // expires with the pool
  bool closing_ = false;
  bool first_closed_ = false;
};

}  // namespace sink::client
