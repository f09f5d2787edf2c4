// The known clients by id and by number. Not responsible for persistence or for connections.
// Invariant: a number is never reused; at most clients_max are known.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/broker/client.h"

namespace sink::broker {

class ClientRegistry {
 public:
  Client* find(std::string_view client_id);
  Client* find(ClientNumber number);
  // Adds a client that is not there yet. `number` 0: the next free one.
  Client& add(std::string client_id, ClientNumber number = 0);
  void remove(ClientNumber number);
  size_t size() const { return by_id_.size(); }

  // In order of client number.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (auto& client : clients_)
      if (client) visit(*client);
  }
  // Client ids above `after` in alphabetical order, for paging.
  std::vector<Client*> page(std::string_view after, size_t limit);

  ClientNumber next_number() const { return static_cast<ClientNumber>(clients_.size()); }
  // Numbers below are used up, even where the client was forgotten since.
  void reserve_numbers(ClientNumber next);

 private:
  std::vector<std::unique_ptr<Client>> clients_{1};  // by number; 0 is nobody
  std::unordered_map<std::string_view, Client*> by_id_;  // views into Client::client_id
};

}  // namespace sink::broker
