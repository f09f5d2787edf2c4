// The broker's state as the rows that operators see. Pure reading: shared by the commands, the
// status page and the metrics, so that they cannot disagree. Not responsible for paging.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "daemon/admin/host.h"
#include "daemon/broker/broker.h"
#include "protocol/admin.h"

namespace sink::admin_server {

// What one walk over all clients finds out.
struct ClientCounts {
  std::array<uint64_t, 4> by_state{};  // by admin::ClientState
  int64_t clock_ahead_ms = 0;          // the worst of the connected ones
  int64_t clock_behind_ms = 0;
  uint64_t in(admin::ClientState state) const { return by_state[static_cast<size_t>(state)]; }
};
ClientCounts count_clients(broker::Broker& broker);

admin::Status status_of(broker::Broker& broker, const HostFacts& facts);
admin::Status status_of(broker::Broker& broker, const HostFacts& facts,
                        const ClientCounts& clients);
admin::StoreStatus store_status(broker::Broker& broker);

admin::ClientState state_of(broker::Broker& broker, const broker::Client& client);
admin::ClientRow client_row(broker::Broker& broker, const broker::Client& client);

admin::SubscriptionRow subscription_row(broker::Broker& broker, broker::Tracker& tracker);
// For a template that no client matches yet.
admin::SubscriptionRow empty_template_row(const broker::Subscription& subscription);
// Of the oldest unsettled event; 0 where nothing is unsettled.
double oldest_age_seconds(broker::Broker& broker, broker::Tracker& tracker);

// Without what only the event's record knows.
admin::EventRow event_row(const broker::Tracker& tracker, storage::Position position,
                          const broker::QuarantinedEvent& event);
enum class WithData : bool { no, yes };
// Fills in what the record of the event says; false: it is no event record.
[[nodiscard]] bool add_record(broker::Broker& broker, std::string_view record, WithData with_data,
                              admin::EventRow& row);

// Without metadata.
admin::ServiceRow service_row(broker::Broker& broker, const broker::Service& service);
admin::UplinkRow uplink_row(broker::Broker& broker, const broker::Uplink& uplink);
admin::DialRow dial_row(const broker::Dial& dial);

// Ready to take and deliver events; the reasons against it, each in a few words.
std::vector<std::string> not_ready_because(broker::Broker& broker, const HostFacts& facts);

}  // namespace sink::admin_server
