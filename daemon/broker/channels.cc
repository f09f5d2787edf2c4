#include "daemon/broker/channels.h"

#include <algorithm>
#include <set>

#include "daemon/broker/channel_record.h"
#include "daemon/broker/glob.h"
#include "daemon/broker/record_codec.h"
#include "daemon/broker/uuids.h"

namespace sink::broker {
namespace {

using protocol::ChannelEndReason;
using protocol::ControlOutcome;
using protocol::ErrorCode;

constexpr size_t kRowBytes = 128;  // of one listed channel, besides its texts

ControlOutcome too_many(size_t limit, const char* what) {
  return {ErrorCode::too_many, "at most " + std::to_string(limit) + " channels " + what +
                                   "; close one that is not needed"};
}

ControlOutcome no_such_channel() {
  return {ErrorCode::not_found, "this client has no channel of that id"};
}

}  // namespace

// ---- opening ---------------------------------------------------------------------------------

const Service* Channels::find_service(const Client& client, const ClientPolicy* policy,
                                      const protocol::OpenChannel& request,
                                      ControlOutcome& refusal) const {
  const protocol::Lookup wanted{request.service, request.uuid};
  const auto found = services_.find(client, policy, wanted);
  if (!found) {
    refusal = found.error();
    return nullptr;
  }
  if (!found->empty()) return found->front();
  refusal = {ErrorCode::not_found, "nobody exposes a service that serves " + request.service};
  return nullptr;
}

ControlOutcome Channels::open(const Client& client, const ClientPolicy* policy,
                              const protocol::OpenChannel& request) {
  ControlOutcome refusal;
  const Service* service = find_service(client, policy, request, refusal);
  if (service == nullptr) return refusal;
  if (service->owner == client.number)
    return {ErrorCode::invalid, "a client opens no channel to a service of its own"};
  if (request.metadata.size() > protocol::kChannelMetadataMax)
    return {ErrorCode::invalid, "metadata is at most " +
                                    std::to_string(protocol::kChannelMetadataMax) + " bytes"};
  ChannelRegistry& channels = core_.state.channels;
  if (channels.opened_by(client.number) >= kOpenedMax)
    return too_many(kOpenedMax, "are opened by one client");
  if (channels.owned_by(service->owner) >= kOwnedMax)
    return too_many(kOwnedMax, "lead to the services of one client");
  if (channels.size() >= kChannelsMax) return too_many(kChannelsMax, "are kept by this server");
  if (core_.log.full())
    return {ErrorCode::unavailable, "the server's store is full; ask again later"};
  const Client* owner = core_.state.clients.find(service->owner);
  // unreached: a service goes with its owner
  if (owner == nullptr) return {ErrorCode::not_found, "the service has no owner any more"};

  Channel channel;
  channel.id = make_uuid(core_);
  channel.service_uuid = service->uuid;
  channel.service = to_text(service->name);
  channel.metadata = request.metadata;
  channel.from_opener.source = client.number;
  channel.from_owner.source = owner->number;
  channel.from_opener.subscription = subscribe(channel.id, "a", client, *owner);
  channel.from_owner.subscription = subscribe(channel.id, "b", *owner, client);
  const Channel& made = channels.add(std::move(channel));
  core_.log.append(kinds::channel, encode(record_of(made)));
  opened_.push_back({core_.log.uncommitted_sequence(), made.id});
  ++core_.counters.channels_opened;
  core_.notice(Severity::info, "channel_opened", client.client_id,
               "to " + made.service + " of " + owner->client_id);
  ControlOutcome outcome;
  outcome.channels.emplace().channels.push_back(describe(made, client.number));
  return outcome;
}

// Every failure is tried again, in its order and for ever: closing the channel is the way out.
SubscriptionId Channels::subscribe(const protocol::Uuid& id, const char* end, const Client& source,
                                   const Client& consumer) {
  SubscriptionSpec spec;
  spec.name = "channel/" + protocol::channel_key(id) + "/" + end;
  spec.consumer = glob_literal(consumer.client_id);
  spec.sources = {glob_literal(source.client_id)};
  spec.event_types = {{protocol::kChannelEventType, protocol::kChannelEventType}};
  spec.keys = {protocol::channel_key(id)};
  spec.max_deliveries = 0;
  catalog_.add(spec, SubscriptionOrigin::channel);
  return core_.state.find_subscription(spec.name)->id;
}

void Channels::on_committed() {
  for (; !opened_.empty() && opened_.front().sequence <= core_.committed; opened_.pop_front()) {
    const Channel& channel = *core_.state.channels.find(opened_.front().id);  // it ends later
    tell(channel.owner(), protocol::ChannelOpened{describe(channel, channel.owner())});
  }
}

// ---- closing ---------------------------------------------------------------------------------

Channel* Channels::channel_of(const Client& client, const protocol::Uuid& id) const {
  Channel* channel = core_.state.channels.find(id);
  return channel != nullptr && channel->has_end(client.number) ? channel : nullptr;
}

ControlOutcome Channels::close(const Client& client, const protocol::CloseChannel& request) {
  Channel* channel = channel_of(client, request.id);
  if (channel == nullptr) return no_such_channel();
  if (!channel->closing) begin_close(*channel, ChannelEndReason::closed);
  return {};
}

void Channels::begin_close(Channel& channel, ChannelEndReason reason) {
  channel.closing = reason;
  ++closing_;
  retire(channel.from_opener, false);
  retire(channel.from_owner, false);
  core_.log.append(kinds::channel, encode(record_of(channel)));
}

void Channels::retire(const ChannelDirection& direction, bool drop) {
  const auto found = core_.state.subscriptions.find(direction.subscription);
  if (found != core_.state.subscriptions.end()) catalog_.remove(*found->second, drop);
}

void Channels::on_service_ended(const Service& service) {
  core_.state.channels.for_each([&](Channel& channel) {
    if (channel.service_uuid == service.uuid && !channel.closing)
      begin_close(channel, ChannelEndReason::service_ended);
  });
}

// Nobody will fetch what waits for it; what it has sent is still delivered.
void Channels::forget(const Client& client) {
  core_.state.channels.for_each([&](Channel& channel) {
    if (!channel.has_end(client.number)) return;
    if (!channel.closing) begin_close(channel, ChannelEndReason::peer_forgotten);
    retire(channel.opener() == client.number ? channel.from_owner : channel.from_opener, true);
  });
}

void Channels::start() {
  retire_lost_queues();
  core_.state.channels.for_each([&](Channel& channel) {
    if (channel.closing) {
      ++closing_;
      for (ChannelDirection* way : {&channel.from_opener, &channel.from_owner})
        way->told = is_drained(*way);  // in a former life, or it learns it from ListChannels
      if (!knows(channel.owner())) retire(channel.from_opener, true);
      if (!knows(channel.opener())) retire(channel.from_owner, true);
    } else if (!is_open(channel.from_opener) || !is_open(channel.from_owner) ||
               core_.state.services.find(channel.service_uuid) == nullptr) {
      begin_close(channel, ChannelEndReason::service_ended);
    }
  });
}

// Damage, or the end of a batch within an opening, may leave queues without their channel.
void Channels::retire_lost_queues() {
  std::set<SubscriptionId> queues;
  core_.state.channels.for_each([&](const Channel& channel) {
    queues.insert({channel.from_opener.subscription, channel.from_owner.subscription});
  });
  std::vector<Subscription*> lost;
  for (const auto& [id, subscription] : core_.state.subscriptions)
    if (subscription->origin == SubscriptionOrigin::channel && queues.count(id) == 0)
      lost.push_back(subscription.get());
  for (Subscription* subscription : lost) catalog_.remove(*subscription, true);
}

bool Channels::knows(ClientNumber end) const { return core_.state.clients.find(end) != nullptr; }

bool Channels::is_open(const ChannelDirection& direction) const {
  const auto found = core_.state.subscriptions.find(direction.subscription);
  return found != core_.state.subscriptions.end() && !found->second->retiring;
}

bool Channels::is_drained(const ChannelDirection& direction) const {
  return core_.state.subscriptions.count(direction.subscription) == 0;
}

void Channels::run() {
  if (closing_ == 0) return;
  std::vector<protocol::Uuid> over;
  core_.state.channels.for_each([&](Channel& channel) {
    if (!channel.closing) return;
    tell_drained(channel, channel.from_opener, channel.owner());
    tell_drained(channel, channel.from_owner, channel.opener());
    if (channel.from_opener.told && channel.from_owner.told) over.push_back(channel.id);
  });
  for (const protocol::Uuid& id : over) {
    core_.log.append(kinds::channel_ended, encode(ChannelEndedRecord{id}));
    core_.state.channels.remove(id);
    ++core_.counters.channels_closed;
    --closing_;
  }
}

void Channels::tell_drained(Channel& channel, ChannelDirection& direction, ClientNumber end) {
  if (direction.told || !is_drained(direction)) return;
  if (!direction.gone_from)
    // unreached: without a commit to come, for its end is of this turn
    direction.gone_from = core_.log.has_uncommitted() ? core_.log.uncommitted_sequence() : 0;
  if (*direction.gone_from > core_.committed) return;
  direction.told = true;
  tell(end, protocol::ChannelClosed{channel.id, *channel.closing});
}

// ---- what is lost ----------------------------------------------------------------------------

// Nothing is written: with the next message it is, and until then the end says it again.
ControlOutcome Channels::advance(const Client& client, const protocol::AdvanceChannel& request) {
  Channel* channel = channel_of(client, request.id);
  if (channel == nullptr) return no_such_channel();
  if (request.taken == UINT64_MAX)
    return {ErrorCode::invalid, "no message can come behind that one"};
  ChannelDirection& direction = *channel->sent_by(client.number);
  if (request.taken <= direction.published) return {};
  ++core_.counters.channel_gaps;
  const std::string range =
      std::to_string(direction.published + 1) + " to " + std::to_string(request.taken);
  const std::string what = "the log has messages " + range + " in a channel of " +
                           channel->service + " no more: it is damaged, or was restored from an "
                           "older backup; see sinkctl log verify";
  core_.notice(Severity::warning, "channel_gap", client.client_id, what);
  core_.alarm("channels/" + client.client_id, client.client_id + ": " + what);
  direction.published = request.taken;
  return {};
}

// ---- telling ---------------------------------------------------------------------------------

// If it is connected; else it learns it from ListChannels.
void Channels::tell(ClientNumber end, const protocol::ControlRequest& word) {
  const Client* client = core_.state.clients.find(end);
  Peer* peer = client == nullptr ? nullptr : core_.peers.find(client->links.connection());
  if (peer == nullptr || !peer->resumable) return;
  protocol::append_control(peer->output.tail(), 0, protocol::encode_control(word));
  core_.announce(*peer);
}

ControlOutcome Channels::list(const Client& client, const protocol::ListChannels& request) const {
  ControlOutcome outcome;
  protocol::ChannelPage& page = outcome.channels.emplace();
  size_t bytes = 0;
  for (const Channel* channel :
       core_.state.channels.page(client.number, request.after, protocol::kChannelsListedMax + 1)) {
    protocol::ChannelInfo row = describe(*channel, client.number);
    bytes += kRowBytes + row.service.size() + row.peer.size() + row.metadata.size();
    page.more = page.channels.size() == protocol::kChannelsListedMax || bytes > kPageBytesMax;
    if (page.more) break;
    page.channels.push_back(std::move(row));
  }
  return outcome;
}

bool Channels::all_go_on(const Client& client,
                         const std::vector<protocol::ChannelInfo>& rows) const {
  return std::all_of(rows.begin(), rows.end(), [&](const protocol::ChannelInfo& row) {
    const Channel* channel = core_.state.channels.find(row.id);
    return channel != nullptr && !channel->is_over_for(client.number);
  });
}

protocol::ChannelInfo Channels::describe(const Channel& channel, ClientNumber end) const {
  const bool is_owner = channel.owner() == end;
  const Client* peer = core_.state.clients.find(is_owner ? channel.opener() : channel.owner());
  protocol::ChannelInfo info;
  info.id = channel.id;
  info.service = channel.service;
  info.service_uuid = channel.service_uuid;
  if (peer != nullptr) info.peer = peer->client_id.substr(0, protocol::kControlNameMax);
  info.metadata = channel.metadata;
  info.is_owner = is_owner;
  info.closing = channel.closing.has_value();
  info.published = is_owner ? channel.from_owner.published : channel.from_opener.published;
  return info;
}

}  // namespace sink::broker
