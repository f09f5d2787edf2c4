#include "test/simulation/sdk_channels.h"

#include <cstdlib>
#include <utility>
#include <vector>

#include "protocol/frame.h"
#include "test/simulation/channel_end.h"

namespace sink::simulation {
namespace {

constexpr size_t kChannelsMax = 3;
constexpr const char* kService = "com.example.sdk@1.0.0";

}  // namespace

SdkChannels::SdkChannels(Stage& stage, ChannelOracle& oracle, std::string name,
                         client::ChannelPort port)
    : stage_(stage),
      oracle_(oracle),
      name_(std::move(name)),
      port_(std::move(port)),
      channels_({[this](const protocol::EventView& event, uint64_t tag) {
                   const auto result = port_.publish(event, tag);
                   if (result == client::PublishResult::queued)
                     oracle_.on_sent(std::string(event.key), false, event.offset,
                                     std::string(event.event_data));
                   return result;
                 },
                 port_.ack, port_.nack, port_.request},
                kFirstTag, {.queue_messages = 12, .window = 5, .retry_ms = 300}) {
  channels_.on_channel = [this](client::Channel& channel) { return meet(channel); };
  channels_.on_listed = [this] { listed_ = true; };
  expose();
}

void SdkChannels::judge(const std::optional<std::string>& wrong) {
  if (wrong && !rotten_) stage_.referee.violate(name_ + ": " + *wrong);
}

client::ChannelEvents SdkChannels::meet(client::Channel& channel) {
  const std::string key = protocol::channel_key(channel.info().id);
  if (channel.info().is_owner) judge("a channel to a service that nobody knows");
  judge(oracle_.on_listed(key, false, channel.info().published));
  client::ChannelEvents events;
  events.on_message = [this, key](protocol::Bytes message) { return take(key, message); };
  events.on_error = [this](protocol::Bytes) { judge("a short message is too large"); };
  return events;
}

// Its other end says "NAME N", from 1 on.
bool SdkChannels::take(const std::string& key, protocol::Bytes message) {
  if (!healed_ && stage_.random.chance(50)) return false;  // not now
  const size_t space = message.find(' ');
  const std::string number(space == protocol::Bytes::npos ? "" : message.substr(space));
  const uint64_t offset = std::strtoull(number.c_str(), nullptr, 10);
  uint64_t& last = heard_[key];
  if (offset != last + 1)
    judge("message " + std::to_string(offset) + " of channel " + key + " is told behind " +
          std::to_string(last));
  last = offset;
  judge(oracle_.on_received(key, true, offset, std::string(message)));
  return true;
}

// ---- the connection ----------------------------------------------------------------------------

void SdkChannels::on_connected() {
  connected_ = true;
  listed_ = false;
  channels_.on_connected();
  offers_.on_connected(now_ms(), [this](const client::ServiceNotice& notice) { tell(notice); });
}

void SdkChannels::on_lost() {
  connected_ = false;
  offers_.on_lost();
}

void SdkChannels::on_reply(uint64_t tag, const protocol::ControlOutcome* outcome) {
  const auto telling = [this](const client::ServiceNotice& notice) { tell(notice); };
  if (client::ServiceOffers::is_own(tag)) {
    if (outcome != nullptr && !offers_.on_outcome(tag, *outcome, now_ms(), telling))
      judge("a reply for a service that is not offered");
    return;
  }
  if (!channels_.on_reply({tag, outcome})) judge("a reply to nothing");
}

void SdkChannels::on_answer(const client::Answer& answer) {
  const auto event = protocol::decode_event(answer.payload);
  if (answer.acked) oracle_.on_accepted(std::string(event->key), false, event->offset);
  channels_.on_answer(answer, now_ms());
}

void SdkChannels::on_told(const protocol::ServiceEnded& ended) {
  offers_.on_ended(ended, [this](const client::ServiceNotice& notice) { tell(notice); });
}

void SdkChannels::tell(const client::ServiceNotice& notice) {
  exposed_ = notice.change == client::ServiceChange::exposed;
  const bool no_room = notice.code == protocol::ErrorCode::unavailable;  // it asks again
  if (notice.change == client::ServiceChange::refused && !no_room)
    judge("its service is refused: " + std::string(notice.text));
  if (notice.change == client::ServiceChange::withdrawn) expose();  // an operator's doing
}

void SdkChannels::expose() {
  offers_.expose({kService, 20'000, "sdk", true}, connected_, now_ms());
}

// ---- the application ---------------------------------------------------------------------------

void SdkChannels::act() {
  if (!connected_ || healed_) return;
  size_t count = 0;
  channels_.for_each([&](client::Channel&) { ++count; });
  if (count < kChannelsMax && stage_.random.chance(200))
    channels_.open({ChannelEnd::kService, {}, name_});
  std::vector<protocol::Uuid> closing;
  channels_.for_each([&](client::Channel& channel) {
    if (stage_.random.chance(10)) closing.push_back(channel.info().id);
    if (stage_.random.chance(300)) channel.send(name_ + " says " + std::to_string(++said_));
  });
  for (const protocol::Uuid& id : closing) channels_.close(id);
}

void SdkChannels::run() {
  channels_.run(now_ms());
  if (connected_) offers_.run(now_ms(), port_.request);
}

std::optional<uint64_t> SdkChannels::deadline_ms() const {
  const auto channels = channels_.deadline_ms();
  const auto offers = connected_ ? offers_.deadline_ms() : std::nullopt;
  if (!channels) return offers;
  return offers ? std::min(*channels, *offers) : channels;
}

bool SdkChannels::idle() const {
  bool waits = !listed_ || !exposed_;
  channels_.for_each([&](client::Channel& channel) { waits = waits || channel.waiting() > 0; });
  return !waits;
}

}  // namespace sink::simulation
