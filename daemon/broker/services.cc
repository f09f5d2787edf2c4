#include "daemon/broker/services.h"

#include <algorithm>

#include "daemon/broker/glob.h"
#include "daemon/broker/record_codec.h"
#include "daemon/broker/service_record.h"
#include "daemon/broker/uuids.h"

namespace sink::broker {
namespace {

using protocol::ControlOutcome;
using protocol::ErrorCode;
using protocol::ServiceEndReason;

constexpr size_t kRowBytes = 96;  // of one found service, besides its texts

bool may_expose(const ClientPolicy* policy, std::string_view name) {
  return policy != nullptr && glob_match_any(policy->expose, name);
}

bool may_look_up(const ClientPolicy* policy, std::string_view name) {
  return policy != nullptr && glob_match_any(policy->lookup, name);
}

ControlOutcome leased(const Service& service) {
  ControlOutcome outcome;
  outcome.lease = protocol::Lease{service.uuid, service.ttl_ms};
  return outcome;
}

ControlOutcome not_yours() {
  return {ErrorCode::not_found, "this client exposes no service with that uuid; expose it anew"};
}

uint32_t granted_ttl(uint32_t asked_ms) {
  return std::clamp(asked_ms, protocol::kServiceTtlMsMin, protocol::kServiceTtlMsMax);
}

}  // namespace

ControlOutcome Services::expose(const Client& client, const ClientPolicy* policy,
                                const protocol::Expose& request) {
  const auto name = protocol::parse_service_name(request.name);
  if (!name)
    return {ErrorCode::invalid, "a service's name is such as com.example.chat@1.0.0: two labels or "
                                "more of lower case letters, digits and -, and a whole version"};
  if (!may_expose(policy, name->name))
    return {ErrorCode::not_allowed, "the client policy does not grant to expose " + name->name};
  if (request.metadata.size() > protocol::kServiceMetadataMax)
    return {ErrorCode::invalid, "metadata is at most " +
                                    std::to_string(protocol::kServiceMetadataMax) + " bytes"};
  Service* known = core_.state.services.find(*name);
  if (known != nullptr && known->owner != client.number)
    return {ErrorCode::exists, "another client exposes " + request.name +
                                   "; take another version, or try again when it has ended"};
  if (known != nullptr && is_same(*known, request)) return renew(*known);
  if (core_.log.full())
    return {ErrorCode::unavailable, "the server's store is full; ask again later"};
  if (known != nullptr) return change(*known, request);
  if (core_.state.services.count_of(client.number) >= kServicesOfClientMax)
    return {ErrorCode::too_many, "a client exposes at most " +
                                     std::to_string(kServicesOfClientMax) + " services"};
  if (core_.state.services.size() >= kServicesMax)
    return {ErrorCode::too_many, "this server has no room for another service"};
  Service& service = core_.state.services.add({make_uuid(core_), client.number, *name,
                                               granted_ttl(request.ttl_ms), request.is_public,
                                               request.metadata, 0, 0});
  core_.log.append(kinds::service, encode(record_of(service)));
  service.known_from = core_.log.uncommitted_sequence();
  ++core_.counters.services_exposed;
  core_.notice(Severity::info, "service_exposed", client.client_id,
               request.name + " for " + std::to_string(service.ttl_ms) + " ms");
  return renew(service);
}

ControlOutcome Services::renew(Service& service) {
  lease(service);
  return leased(service);
}

// What has not changed costs no record, and needs no room in the store.
bool Services::is_same(const Service& service, const protocol::Expose& request) {
  return service.ttl_ms == granted_ttl(request.ttl_ms) &&
         service.is_public == request.is_public && service.metadata == request.metadata;
}

ControlOutcome Services::change(Service& service, const protocol::Expose& request) {
  service.ttl_ms = granted_ttl(request.ttl_ms);
  service.is_public = request.is_public;
  service.metadata = request.metadata;
  core_.log.append(kinds::service, encode(record_of(service)));
  return renew(service);
}

ControlOutcome Services::refresh(const Client& client, const ClientPolicy* policy,
                                 const protocol::Refresh& request) {
  Service* service = core_.state.services.find(request.uuid);
  if (service == nullptr || service->owner != client.number) return not_yours();
  if (!may_expose(policy, service->name.name))
    return {ErrorCode::not_allowed, "the client policy does not grant to expose " +
                                        service->name.name + " any more; its lease ends"};
  return renew(*service);
}

ControlOutcome Services::withdraw(const Client& client, const protocol::Withdraw& request) {
  Service* service = core_.state.services.find(request.uuid);
  if (service == nullptr || service->owner != client.number) return not_yours();
  ++core_.counters.services_withdrawn;
  core_.notice(Severity::info, "service_withdrawn", client.client_id, to_text(service->name));
  end(*service);
  return {};
}

void Services::withdraw(Service& service) {
  ++core_.counters.services_withdrawn;
  core_.notice(Severity::notice, "service_withdrawn", owner_of(service),
               to_text(service.name) + ", by an operator");
  tell_owner(service, ServiceEndReason::by_operator);
  end(service);
}

void Services::forget(const Client& owner) {
  for (Service* service : core_.state.services.of(owner.number)) {
    ++core_.counters.services_withdrawn;
    end(*service);
  }
}

// ---- looking up ------------------------------------------------------------------------------

bool Services::is_shown(const Service& service, const Client& client) const {
  return service.owner == client.number || service.known_from <= core_.committed;
}

tl::expected<std::vector<const Service*>, ControlOutcome> Services::find(
    const Client& client, const ClientPolicy* policy, const protocol::Lookup& request) const {
  if (request.uuid) {
    const Service* service = core_.state.services.find(*request.uuid);
    if (service == nullptr || !is_shown(*service, client))
      return tl::unexpected(
          ControlOutcome{ErrorCode::not_found, "there is no service with that uuid"});
    return std::vector<const Service*>{service};
  }
  const auto asked = protocol::parse_asked_service(request.name);
  if (!asked)
    return tl::unexpected(ControlOutcome{
        ErrorCode::invalid, "a service is looked up as com.example.chat, or with its version or "
                            "the beginning of it: com.example.chat@1.2"});
  const bool granted = may_look_up(policy, asked->name);
  std::vector<const Service*> found;
  for (const Service* service : core_.state.services.versions_of(asked->name)) {
    const bool own = service->owner == client.number;
    if (!own && !(granted && service->is_public)) continue;
    if (is_shown(*service, client) && is_compatible(*asked, service->name.version))
      found.push_back(service);
  }
  if (!granted && found.empty())
    return tl::unexpected(ControlOutcome{
        ErrorCode::not_allowed, "the client policy does not grant to look up " + asked->name});
  return found;
}

ControlOutcome Services::lookup(const Client& client, const ClientPolicy* policy,
                                const protocol::Lookup& request) const {
  const auto found = find(client, policy, request);
  if (!found) return found.error();
  ControlOutcome outcome;
  protocol::FoundServices& answer = outcome.found.emplace();
  size_t bytes = 0;
  for (const Service* service : *found) {
    protocol::FoundService row = describe(*service);
    bytes += kRowBytes + row.name.size() + row.owner.size() + row.metadata.size();
    if (bytes > kFoundBytesMax || answer.services.size() == protocol::kServicesFoundMax) break;
    answer.services.push_back(std::move(row));
  }
  answer.left_out = static_cast<uint32_t>(found->size() - answer.services.size());
  return outcome;
}

protocol::FoundService Services::describe(const Service& service) const {
  const uint64_t now_ms = core_.now.monotonic_ms;
  return {to_text(service.name), service.uuid,
          owner_of(service).substr(0, protocol::kControlNameMax), service.metadata,
          service.is_public,
          static_cast<uint32_t>(service.expires_ms - std::min(service.expires_ms, now_ms))};
}

std::string Services::owner_of(const Service& service) const {
  const Client* owner = core_.state.clients.find(service.owner);
  return owner == nullptr ? std::string() : owner->client_id;  // unreached: it goes with its owner
}

// ---- leases ----------------------------------------------------------------------------------

void Services::start() {
  core_.state.services.for_each([&](Service& service) { lease(service); });
}

void Services::lease(Service& service) {
  core_.state.services.set_expiry(service, core_.now.monotonic_ms + service.ttl_ms);
}

std::optional<uint64_t> Services::deadline_ms() const {
  const Service* next = core_.state.services.first_to_lapse();
  if (next == nullptr) return std::nullopt;
  return next->expires_ms;
}

void Services::run_due() {
  for (Service* next = core_.state.services.first_to_lapse();
       next != nullptr && next->expires_ms <= core_.now.monotonic_ms;
       next = core_.state.services.first_to_lapse()) {
    ++core_.counters.services_lapsed;
    core_.notice(Severity::info, "service_lapsed", owner_of(*next),
                 to_text(next->name) + " was not refreshed in time");
    tell_owner(*next, ServiceEndReason::lapsed);
    end(*next);
  }
}

void Services::end(Service& service) {
  on_ended(service);
  core_.log.append(kinds::service_ended, encode(ServiceEndedRecord{service.uuid}));
  core_.state.services.remove(protocol::Uuid(service.uuid));
}

// If it is connected; else it learns it from its next Refresh.
void Services::tell_owner(const Service& service, ServiceEndReason reason) {
  const Client* owner = core_.state.clients.find(service.owner);
  // unreached: it goes with its owner
  Peer* peer = owner == nullptr ? nullptr : core_.peers.find(owner->links.connection());
  if (peer == nullptr || !peer->resumable) return;
  const protocol::ServiceEnded ended{service.uuid, to_text(service.name), reason};
  protocol::append_control(peer->output.tail(), 0, protocol::encode_control(ended));
  core_.announce(*peer);
}

}  // namespace sink::broker
