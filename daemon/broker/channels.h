// Durable channels: opened to a service, closed by either end or with the service. A channel is two
// ordinary subscriptions, one for each direction, of the one event type and the channel's key: the
// log, the trackers and the sessions do the rest. Not responsible for frames and replies
// (ClientRequests) nor for messages (channel_gate.h). Invariants: nobody but its two ends is told
// of a channel or touches it; what was taken is delivered before a channel is gone; no end gets
// word of a beginning or an end that a crash could still undo.
//
//   open --> open, in the log --close, the service ended, an end forgotten--> closing
//   closing --both queues are empty--> gone, in the log
#pragma once

#include <deque>
#include <vector>

#include "daemon/broker/catalog.h"
#include "daemon/broker/core.h"
#include "daemon/broker/services.h"

namespace sink::broker {

class Channels {
 public:
  static constexpr size_t kOpenedMax = 64;        // by one client
  static constexpr size_t kOwnedMax = 1'000;      // of one client's services
  static constexpr size_t kChannelsMax = 4'000;   // of all
  static constexpr size_t kPageBytesMax = 60'000;  // of one answer: a frame holds it

  Channels(Core& core, Catalog& catalog, const Services& services)
      : core_(core), catalog_(catalog), services_(services) {}

  // ---- what clients ask for; `policy` is theirs, nullptr: none ----
  protocol::ControlOutcome open(const Client& client, const ClientPolicy* policy,
                                const protocol::OpenChannel& request);
  protocol::ControlOutcome close(const Client& client, const protocol::CloseChannel& request);
  protocol::ControlOutcome advance(const Client& client, const protocol::AdvanceChannel& request);
  protocol::ControlOutcome list(const Client& client, const protocol::ListChannels& request) const;

  // Whether none of these rows, which list() has made before, is over for the client.
  bool all_go_on(const Client& client, const std::vector<protocol::ChannelInfo>& rows) const;

  void on_service_ended(const Service& service);
  // An end is forgotten; before its trackers are.
  void forget(const Client& client);

  // After recovery: what lost one of its parts with a damaged piece of the log is closed.
  void start();
  void on_committed();
  // Once a second, behind Catalog::sweep(): tells ends that have had everything, ends what is over.
  void run();
  bool something_closes() const { return closing_ > 0; }

 private:
  struct Opened {  // its owner is told when it is durable
    storage::Sequence sequence = 0;
    protocol::Uuid id{};
  };

  // nullptr: it is no end of such a channel.
  Channel* channel_of(const Client& client, const protocol::Uuid& id) const;
  const Service* find_service(const Client& client, const ClientPolicy* policy,
                              const protocol::OpenChannel& request,
                              protocol::ControlOutcome& refusal) const;
  SubscriptionId subscribe(const protocol::Uuid& id, const char* end, const Client& source,
                           const Client& consumer);
  void begin_close(Channel& channel, protocol::ChannelEndReason reason);
  void retire(const ChannelDirection& direction, bool drop);
  void retire_lost_queues();
  bool knows(ClientNumber end) const;
  bool is_open(const ChannelDirection& direction) const;
  bool is_drained(const ChannelDirection& direction) const;
  void tell_drained(Channel& channel, ChannelDirection& direction, ClientNumber end);
  void tell(ClientNumber end, const protocol::ControlRequest& word);
  protocol::ChannelInfo describe(const Channel& channel, ClientNumber end) const;

  Core& core_;
  Catalog& catalog_;
  const Services& services_;
  std::deque<Opened> opened_;
  size_t closing_ = 0;
};

}  // namespace sink::broker
