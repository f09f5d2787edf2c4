// The durable channels of one client, beside a connection of its own: opens and closes them, learns
// after each reconnect which there are, and gives each what is for it of what the connection tells.
// Not responsible for the connection: the application hands on what its Listener hears, and the
// port hands out what is to be sent. Sans-I/O. Invariant: every message that comes is answered.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include "client/channel.h"
#include "client/service_offers.h"
#include "client/sink_client.h"

namespace sink::client {

// As the methods of a Connection.
struct ChannelPort {
  std::function<PublishResult(const protocol::EventView& event, uint64_t tag)> publish;
  std::function<bool(DeliveryId id)> ack;
  std::function<bool(DeliveryId id, protocol::Bytes machine, protocol::Bytes human)> nack;
  std::function<bool(const protocol::ControlRequest& request, uint64_t tag)> request;
};

// One message of a channel.
struct MessageName {
  protocol::Uuid channel{};
  uint64_t offset = 0;
};
// nullopt: the event is not a message of a channel.
std::optional<MessageName> message_name(protocol::Bytes payload);

class Channels {
 public:
  // A connection takes requests with these tags from nobody else who keeps to its rules.
  static constexpr uint64_t kOwnTags = ServiceOffers::kOwnTagsEnd;
  static constexpr size_t kUnknownMax = 4'096;  // channels whose messages came before they did

  // Tags from `first_tag` on, 2^32 of them, are this object's.
  Channels(ChannelPort port, uint64_t first_tag, ChannelOptions options = {})
      : port_(std::move(port)), first_tag_(first_tag), options_(options) {}

  // Of every channel there is: opened here or by another client, or left by an earlier run. What it
  // answers is called for that channel from then on.
  std::function<ChannelEvents(Channel& channel)> on_channel;
  // After each connect: on_channel has told of every channel there is, and those that are not there
  // any more have ended.
  std::function<void()> on_listed;
  // open() came to nothing; null: the connection ended before the answer, and if the server has
  // opened it nevertheless, it comes by on_channel.
  std::function<void(const protocol::OpenChannel& request, const protocol::ControlOutcome* outcome)>
      on_refused;

  // False: it could not be asked just now.
  bool open(const protocol::OpenChannel& request);
  bool close(const protocol::Uuid& id);
  Channel* find(const protocol::Uuid& id);
  bool is_own(uint64_t tag) const { return tag >= first_tag_ && tag - first_tag_ <= UINT32_MAX; }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [id, channel] : channels_) visit(*channel);
  }

  // ---- what the Listener hears; true: it was for a channel ----
  void on_connected();
  bool on_reply(const Reply& reply);
  bool on_answer(const Answer& answer, uint64_t now_ms);
  bool on_delivery(const Delivery& delivery);
  void on_dropped(const Dropped& dropped, uint64_t now_ms);
  void on_given_up(std::span<const MessageName> messages, uint64_t now_ms);
  void on_channel_opened(const protocol::ChannelInfo& info) { adopt(info); }
  void on_channel_closed(const protocol::ChannelClosed& closed);

  // Sends what there is: call it after send(), after each of the above, and at deadline_ms().
  // Called by a callback that it calls itself, it begins anew when it is through.
  void run(uint64_t now_ms);
  std::optional<uint64_t> deadline_ms() const;

 private:
  enum class Kind : uint8_t { listing, open, close, advance };
  struct Asked {
    Kind kind = Kind::listing;
    protocol::OpenChannel open;
  };

  bool ask(const protocol::ControlRequest& request, Asked asked);
  void ask_listing();
  void tell_lost(Channel& channel);
  void adopt(const protocol::ChannelInfo& info);
  void on_listing(const protocol::ChannelPage& page);
  void end(const protocol::Uuid& id, protocol::ChannelEndReason reason);
  bool take(const Delivery& delivery);

  ChannelPort port_;
  uint64_t first_tag_;
  ChannelOptions options_;
  std::map<protocol::Uuid, std::unique_ptr<Channel>> channels_;
  std::map<uint64_t, Asked> asked_;        // by tag
  uint32_t last_tag_ = 0;
  std::set<protocol::Uuid> unlisted_;      // known when the listing began, and not on it so far
  // A page of the listing is to be asked for: the one behind this.
  std::optional<protocol::ListChannels> wanted_;
  std::map<protocol::Uuid, RefusedMessages> refused_;  // of channels that are not known
  bool running_ = false;
  bool again_ = false;  // run() was called by what run() calls
};

}  // namespace sink::client
