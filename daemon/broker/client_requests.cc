#include "daemon/broker/client_requests.h"

#include <algorithm>

#include "daemon/broker/glob.h"
#include "protocol/in_flight_window.h"

namespace sink::broker {
namespace {

using protocol::ControlOutcome;
using protocol::ErrorCode;

// What of `asked` no entry of `granted` covers; nullptr: all is granted.
template <class Granted, class Asked>
const Asked* not_granted(const std::vector<Granted>& granted, const std::vector<Asked>& asked) {
  for (const Asked& one : asked)
    if (std::none_of(granted.begin(), granted.end(),
                     [&](const Granted& each) { return grants(each, one); }))
      return &one;
  return nullptr;
}

ControlOutcome not_allowed(const std::string& what) {
  return {ErrorCode::not_allowed, "the client policy does not grant " + what};
}

// What `request` asks for within `policy`; what it leaves empty is all that the policy grants.
// Error: the first thing that the policy does not grant.
template <class Request>
tl::expected<EventFilter, ControlOutcome> granted_filter(const ClientPolicy& policy,
                                                         const Request& request) {
  EventFilter filter{policy.event_types, policy.sources, policy.keys};
  if (!request.sources.empty()) filter.sources = request.sources;
  if (!request.keys.empty()) filter.keys = request.keys;
  if (!request.event_types.empty()) filter.event_types.clear();
  for (const auto& types : request.event_types) {
    if (types.first > types.last)
      return tl::unexpected(
          ControlOutcome{ErrorCode::invalid, "a range of event types ends before it begins"});
    filter.event_types.push_back({types.first, types.last});
  }
  if (const auto* source = not_granted(policy.sources, filter.sources))
    return tl::unexpected(not_allowed("the source " + *source));
  if (const auto* key = not_granted(policy.keys, filter.keys))
    return tl::unexpected(not_allowed("the key " + *key));
  if (const auto* types = not_granted(policy.event_types, filter.event_types))
    return tl::unexpected(not_allowed("the event types " + std::to_string(types->first) + " to " +
                                      std::to_string(types->last)));
  return filter;
}

std::string full_name(const Client& client, const std::string& name) {
  return client.client_id + "/" + name;
}

}  // namespace

ClientRequests::ClientRequests(Core& core, Catalog& catalog)
    : core_(core), catalog_(catalog), cursors_(core), services_(core),
      channels_(core, catalog, services_) {
  services_.on_ended = [this](const Service& service) { channels_.on_service_ended(service); };
  cursors_.on_done = [this](ConnectionId connection, uint16_t message_id,
                            const ControlOutcome& outcome) {
    // unreached: whoever has left is forgotten before its connection is
    if (Peer* peer = core_.peers.find(connection)) reply(*peer, message_id, outcome);
  };
}

void ClientRequests::handle(Peer& peer, uint16_t message_id,
                            const protocol::ControlRequest& request) {
  if (const auto* place = std::get_if<protocol::Seek>(&request))
    return seek(peer, message_id, *place);
  const Client& client = *peer.client;
  // These change nothing that the log keeps.
  if (const auto* refreshed = std::get_if<protocol::Refresh>(&request))
    return reply(peer, message_id, services_.refresh(client, policy_of(client), *refreshed));
  if (const auto* wanted = std::get_if<protocol::Lookup>(&request))
    return reply(peer, message_id, services_.lookup(client, policy_of(client), *wanted));
  const auto* listing = std::get_if<protocol::ListChannels>(&request);
  const ControlOutcome outcome = decide(client, request);
  if (outcome.code != ErrorCode::none || !core_.log.has_uncommitted())
    return reply(peer, message_id, outcome);
  replies_.push_back({core_.log.uncommitted_sequence(), peer.id, message_id, outcome,
                      listing == nullptr ? std::nullopt : std::optional(*listing)});
  ++peer.replies_due;
}

ControlOutcome ClientRequests::decide(const Client& client,
                                      const protocol::ControlRequest& request) {
  if (const auto* wanted = std::get_if<protocol::Subscribe>(&request))
    return subscribe(client, *wanted);
  if (const auto* ended = std::get_if<protocol::Unsubscribe>(&request))
    return unsubscribe(client, *ended);
  if (const auto* exposed = std::get_if<protocol::Expose>(&request))
    return services_.expose(client, policy_of(client), *exposed);
  if (const auto* withdrawn = std::get_if<protocol::Withdraw>(&request))
    return services_.withdraw(client, *withdrawn);
  if (const auto* opened = std::get_if<protocol::OpenChannel>(&request))
    return channels_.open(client, policy_of(client), *opened);
  if (const auto* wanted = std::get_if<protocol::ListChannels>(&request))
    return channels_.list(client, *wanted);
  if (const auto* closed = std::get_if<protocol::CloseChannel>(&request))
    return channels_.close(client, *closed);
  if (const auto* advanced = std::get_if<protocol::AdvanceChannel>(&request))
    return channels_.advance(client, *advanced);
  return {ErrorCode::unknown_kind, "this server does not know that request"};
}

void ClientRequests::on_committed(storage::Sequence sequence) {
  while (!replies_.empty() && replies_.front().sequence <= sequence) {
    const PendingReply due = std::move(replies_.front());
    replies_.pop_front();
    Peer* peer = core_.peers.find(due.connection);
    if (peer == nullptr || peer->closing) continue;
    --peer->replies_due;
    if (due.listing && !channels_.all_go_on(*peer->client, due.outcome.channels->channels)) {
      handle(*peer, due.message_id, *due.listing);
    } else {
      reply(*peer, due.message_id, due.outcome);
    }
  }
  channels_.on_committed();
  cursors_.on_committed();
}

void ClientRequests::forget(const Client& client) {
  services_.forget(client);
  channels_.forget(client);
}

void ClientRequests::reply(Peer& peer, uint16_t message_id, const ControlOutcome& outcome) {
  if (outcome.code != ErrorCode::none) ++core_.counters.controls_refused;
  protocol::append_control_reply(peer.output.tail(), message_id, protocol::encode_outcome(outcome));
  core_.announce(peer);
}

const ClientPolicy* ClientRequests::policy_of(const Client& client) const {
  for (const ClientPolicy& policy : core_.settings.client_policies)
    if (glob_match(policy.clients, client.client_id)) return &policy;
  return nullptr;
}

Rate ClientRequests::rate_of(const Client& client) const {
  const ClientPolicy* policy = policy_of(client);
  return policy == nullptr ? Rate{} : policy->rate;
}

// By its consumer, not by its name: one client_id may be the front of another.
bool ClientRequests::owns(const Client& client, const Subscription& subscription) {
  return subscription.origin == SubscriptionOrigin::client && !subscription.retiring &&
         subscription.spec.consumer == glob_literal(client.client_id);
}

size_t ClientRequests::count_subscriptions(const Client& client) const {
  return static_cast<size_t>(std::count_if(
      core_.state.subscriptions.begin(), core_.state.subscriptions.end(),
      [&](const auto& entry) { return owns(client, *entry.second); }));
}

ControlOutcome ClientRequests::subscribe(const Client& client, const protocol::Subscribe& request) {
  const ClientPolicy* policy = policy_of(client);
  if (policy == nullptr || policy->subscriptions_max == 0 || policy->sources.empty())
    return not_allowed("subscriptions");
  if (!is_subscription_name(request.name))
    return {ErrorCode::invalid, "a name is up to 128 letters, digits and . _ - : @"};
  if (request.in_flight > protocol::kWindowMax)
    return {ErrorCode::invalid, "in_flight is at most 4095"};
  SubscriptionSpec spec;
  spec.name = full_name(client, request.name);
  spec.consumer = glob_literal(client.client_id);
  auto filter = granted_filter(*policy, request);
  if (!filter) return filter.error();
  spec.sources = std::move(filter->sources);
  spec.keys = std::move(filter->keys);
  spec.event_types = std::move(filter->event_types);
  if (request.any_order) spec.order = Order::none;
  if (request.in_flight > 0) spec.in_flight = request.in_flight;
  if (request.ack_timeout_ms > 0) spec.ack_timeout_ms = request.ack_timeout_ms;
  if (const Subscription* known = core_.state.find_subscription(spec.name)) {
    if (!known->retiring && known->spec == spec) return {};  // asked before: the same answer
    if (!known->retiring)
      return {ErrorCode::exists, "the subscription exists and is another; unsubscribe it first"};
  }
  if (count_subscriptions(client) >= policy->subscriptions_max)
    return {ErrorCode::too_many, "the client policy grants " +
                                     std::to_string(policy->subscriptions_max) + " subscriptions"};
  catalog_.add(spec, SubscriptionOrigin::client);
  core_.notice(Severity::notice, "subscription_added", client.client_id,
               "the client has made the subscription " + spec.name);
  return {};
}

ControlOutcome ClientRequests::unsubscribe(const Client& client,
                                           const protocol::Unsubscribe& request) {
  const std::string name = full_name(client, request.name);
  Subscription* known = core_.state.find_subscription(name);
  if (known == nullptr || !owns(client, *known))
    return {ErrorCode::not_found, "this client has no subscription of that name"};
  const uint64_t dropped = catalog_.remove(*known, true);
  core_.notice(Severity::notice, "subscription_removed", client.client_id,
               "the client has ended the subscription " + name + "; " + std::to_string(dropped) +
                   " waiting events were dropped");
  return {};
}

void ClientRequests::seek(Peer& peer, uint16_t message_id, const protocol::Seek& request) {
  const ClientPolicy* policy = policy_of(*peer.client);
  if (policy == nullptr || !policy->seek || policy->sources.empty())
    return reply(peer, message_id, not_allowed("to read the log"));
  auto filter = granted_filter(*policy, request);
  if (!filter) return reply(peer, message_id, filter.error());
  cursors_.seek(peer.id, message_id, request, std::move(*filter));
}

}  // namespace sink::broker
