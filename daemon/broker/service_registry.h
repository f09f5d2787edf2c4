// The services that clients expose, by uuid, by name and by the end of their leases. Not
// responsible for who may do what, for records or for telling anybody (Services). Invariant: a uuid
// and a full name each belong to one service.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/broker/client.h"
#include "protocol/control/service_name.h"
#include "protocol/control/uuid.h"

namespace sink::broker {

struct Service {
  protocol::Uuid uuid{};
  ClientNumber owner = 0;
  protocol::ServiceName name;
  uint32_t ttl_ms = 0;
  bool is_public = false;
  std::string metadata;
  uint64_t expires_ms = 0;  // monotonic; the registry's own: set_expiry()
  uint64_t known_from = 0;  // the commit that made it durable; found by others from then on
};

class ServiceRegistry {
 public:
  Service* find(const protocol::Uuid& uuid) const;
  Service* find(const protocol::ServiceName& name) const;
  // Whatever has its uuid or its name is removed first.
  Service& add(Service service);
  void remove(const protocol::Uuid& uuid);
  void remove_of(ClientNumber owner);
  void set_expiry(Service& service, uint64_t expires_ms);

  // The one whose lease ends first; nullptr: there is none.
  Service* first_to_lapse() const;
  size_t size() const { return by_uuid_.size(); }
  uint32_t count_of(ClientNumber owner) const;
  std::vector<Service*> of(ClientNumber owner) const;

  // By name, versions ascending.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [name, service] : by_name_) visit(*service);
  }
  // Those of that name without its version, newest version first.
  std::vector<Service*> versions_of(const std::string& name) const;
  // Those behind the full name `after`, in the order of for_each; empty: from the first.
  std::vector<Service*> page(const protocol::ServiceName& after, size_t limit) const;

 private:
  std::map<protocol::Uuid, std::unique_ptr<Service>> by_uuid_;
  std::map<protocol::ServiceName, Service*> by_name_;
  std::set<std::pair<uint64_t, protocol::Uuid>> by_expiry_;
  std::unordered_map<ClientNumber, uint32_t> owned_;
};

}  // namespace sink::broker
