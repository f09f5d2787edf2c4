#include "daemon/broker/client_registry.h"

#include <algorithm>

namespace sink::broker {

Client* ClientRegistry::find(std::string_view client_id) {
  const auto found = by_id_.find(client_id);
  return found == by_id_.end() ? nullptr : found->second;
}

Client* ClientRegistry::find(ClientNumber number) { return clients_.find(number); }

Client& ClientRegistry::add(std::string client_id, ClientNumber number) {
  if (number == 0) number = next_number();
  Client& added = clients_.put(number, std::make_unique<Client>());
  added.number = number;
  added.client_id = std::move(client_id);
  by_id_.emplace(added.client_id, &added);
  return added;
}

void ClientRegistry::remove(ClientNumber number) {
  Client* client = find(number);
  if (client == nullptr) return;
  by_id_.erase(client->client_id);
  clients_.erase(number);
}

std::vector<Client*> ClientRegistry::page(std::string_view after, size_t limit) {
  std::vector<Client*> found;
  for (Client& client : clients_)
    if (client.client_id > after) found.push_back(&client);
  const size_t count = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(count), found.end(),
                    [](const Client* a, const Client* b) { return a->client_id < b->client_id; });
  found.resize(count);
  return found;
}

}  // namespace sink::broker
