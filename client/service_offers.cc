#include "client/service_offers.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sink::client {

ServiceOffers::Leases::iterator ServiceOffers::find(const std::string& name) {
  return std::find_if(leases_.begin(), leases_.end(),
                      [&](const auto& entry) { return entry.second.name() == name; });
}

bool ServiceOffers::expose(protocol::Expose offer, bool connected, uint64_t now_ms) {
  if (const auto known = find(offer.name); known != leases_.end()) {
    known->second.replace(std::move(offer));
    return true;
  }
  if (leases_.size() == kOffersMax) return false;
  const auto made = leases_.emplace(next_tag_++, ServiceLease(std::move(offer))).first;
  if (connected) made->second.on_connected(now_ms);
  return true;
}

bool ServiceOffers::withdraw(const std::string& name) {
  const auto known = find(name);
  if (known == leases_.end()) return false;
  known->second.withdraw();
  if (known->second.over()) leases_.erase(known);
  return true;
}

void ServiceOffers::report(uint64_t tag, std::optional<ServiceChange> change, const Tell& tell) {
  const auto found = leases_.find(tag);
  if (!change || found == leases_.end()) return;
  const ServiceLease lease = found->second;  // `tell` may end it
  if (lease.over()) leases_.erase(found);
  ServiceNotice notice{lease.name(), *change, lease.uuid(), protocol::ErrorCode::none, {}};
  if (*change == ServiceChange::refused) {
    notice.code = lease.refusal().code;
    notice.text = lease.refusal().text;
  }
  tell(notice);
}

void ServiceOffers::on_connected(uint64_t now_ms, const Tell& tell) {
  std::vector<std::pair<uint64_t, std::optional<ServiceChange>>> changes;
  for (auto& [tag, lease] : leases_) changes.emplace_back(tag, lease.on_connected(now_ms));
  for (const auto& [tag, change] : changes) report(tag, change, tell);
}

void ServiceOffers::on_lost() {
  for (auto& [tag, lease] : leases_) lease.on_lost();
  std::erase_if(leases_, [](const auto& entry) { return entry.second.over(); });
}

bool ServiceOffers::on_outcome(uint64_t tag, const protocol::ControlOutcome& outcome,
                               uint64_t now_ms, const Tell& tell) {
  if (!is_own(tag)) return false;
  const auto found = leases_.find(tag);
  if (found != leases_.end()) report(tag, found->second.on_outcome(outcome, now_ms), tell);
  return true;
}

void ServiceOffers::on_ended(const protocol::ServiceEnded& ended, const Tell& tell) {
  for (auto& [tag, lease] : leases_)
    if (lease.uuid() == ended.uuid) return report(tag, lease.on_ended(ended.reason), tell);
}

void ServiceOffers::run(uint64_t now_ms, const Ask& ask) {
  refused_ = false;
  for (auto& [tag, lease] : leases_) {
    const auto request = lease.request(now_ms);
    if (!request) continue;
    refused_ = !ask(*request, tag);
    if (refused_) return;
    lease.asked(now_ms);
  }
}

std::optional<uint64_t> ServiceOffers::deadline_ms() const {
  std::optional<uint64_t> first;
  if (refused_) return first;
  for (const auto& [tag, lease] : leases_)
    if (const auto each = lease.deadline_ms()) first = std::min(first.value_or(*each), *each);
  return first;
}

}  // namespace sink::client
