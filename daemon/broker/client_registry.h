// The known clients by id and by number. Not responsible for persistence or for connections.
// Invariant: a number is never reused; at most clients_max are known.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/broker/client.h"
#include "daemon/broker/numbered.h"

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
    for (Client& client : clients_) visit(client);
  }
  // Client ids above `after` in alphabetical order, for paging.
  std::vector<Client*> page(std::string_view after, size_t limit);

  ClientNumber next_number() const { return clients_.next(); }
  // It is not given out again, even where the client was forgotten since.
  void use_up(ClientNumber number) { clients_.use_up(number); }

 private:
  Numbered<Client> clients_;
  std::unordered_map<std::string_view, Client*> by_id_;  // views into Client::client_id
};

}  // namespace sink::broker
