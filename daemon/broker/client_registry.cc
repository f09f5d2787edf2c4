#include "daemon/broker/client_registry.h"

#include <algorithm>

namespace sink::broker {

Client* ClientRegistry::find(std::string_view client_id) {
  const auto found = by_id_.find(client_id);
  return found == by_id_.end() ? nullptr : found->second;
}

Client* ClientRegistry::find(ClientNumber number) {
  return number < clients_.size() ? clients_[number].get() : nullptr;
}

Client& ClientRegistry::add(std::string client_id, ClientNumber number) {
  if (number == 0) number = next_number();
  if (number >= clients_.size()) clients_.resize(number + 1);
  auto client = std::make_unique<Client>();
  client->number = number;
  client->client_id = std::move(client_id);
  Client& added = *client;
  clients_[number] = std::move(client);
  by_id_.emplace(added.client_id, &added);
  return added;
}

void ClientRegistry::remove(ClientNumber number) {
  Client* client = find(number);
  if (client == nullptr) return;
  by_id_.erase(client->client_id);
  clients_[number].reset();
}

void ClientRegistry::reserve_numbers(ClientNumber next) {
  if (next > clients_.size()) clients_.resize(next);
}

std::vector<Client*> ClientRegistry::page(std::string_view after, size_t limit) {
  std::vector<Client*> found;
  for (auto& client : clients_)
    if (client && client->client_id > after) found.push_back(client.get());
  const size_t count = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(count), found.end(),
                    [](const Client* a, const Client* b) { return a->client_id < b->client_id; });
  found.resize(count);
  return found;
}

}  // namespace sink::broker
