#include "daemon/broker/service_registry.h"

#include <algorithm>

namespace sink::broker {

Service* ServiceRegistry::find(const protocol::Uuid& uuid) const {
  const auto found = by_uuid_.find(uuid);
  return found == by_uuid_.end() ? nullptr : found->second.get();
}

Service* ServiceRegistry::find(const protocol::ServiceName& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Service& ServiceRegistry::add(Service service) {
  remove(service.uuid);
  if (const Service* namesake = find(service.name)) remove(protocol::Uuid(namesake->uuid));
  const protocol::Uuid uuid = service.uuid;
  auto& slot = by_uuid_[uuid];
  slot = std::make_unique<Service>(std::move(service));
  by_name_[slot->name] = slot.get();
  by_expiry_.emplace(slot->expires_ms, uuid);
  ++owned_[slot->owner];
  return *slot;
}

void ServiceRegistry::remove(const protocol::Uuid& uuid) {
  const auto found = by_uuid_.find(uuid);
  if (found == by_uuid_.end()) return;
  const Service& service = *found->second;
  by_name_.erase(service.name);
  by_expiry_.erase({service.expires_ms, service.uuid});
  const auto owned = owned_.find(service.owner);
  if (--owned->second == 0) owned_.erase(owned);
  by_uuid_.erase(found);
}

void ServiceRegistry::remove_of(ClientNumber owner) {
  for (const Service* service : of(owner)) remove(protocol::Uuid(service->uuid));
}

void ServiceRegistry::set_expiry(Service& service, uint64_t expires_ms) {
  by_expiry_.erase({service.expires_ms, service.uuid});
  service.expires_ms = expires_ms;
  by_expiry_.emplace(expires_ms, service.uuid);
}

Service* ServiceRegistry::first_to_lapse() const {
  return by_expiry_.empty() ? nullptr : find(by_expiry_.begin()->second);
}

uint32_t ServiceRegistry::count_of(ClientNumber owner) const {
  const auto found = owned_.find(owner);
  return found == owned_.end() ? 0 : found->second;
}

std::vector<Service*> ServiceRegistry::of(ClientNumber owner) const {
  std::vector<Service*> all;
  if (count_of(owner) == 0) return all;
  for (const auto& [name, service] : by_name_)
    if (service->owner == owner) all.push_back(service);
  return all;
}

std::vector<Service*> ServiceRegistry::versions_of(const std::string& name) const {
  std::vector<Service*> all;
  for (auto next = by_name_.lower_bound({name, {}});
       next != by_name_.end() && next->first.name == name; ++next)
    all.push_back(next->second);
  std::reverse(all.begin(), all.end());
  return all;
}

std::vector<Service*> ServiceRegistry::page(const protocol::ServiceName& after,
                                            size_t limit) const {
  std::vector<Service*> rows;
  for (auto next = by_name_.upper_bound(after); next != by_name_.end() && rows.size() < limit;
       ++next)
    rows.push_back(next->second);
  return rows;
}

}  // namespace sink::broker
