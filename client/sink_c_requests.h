// Requests and replies between sink_requests.h and the library: translates, decides nothing.
#pragma once

#include <vector>

#include "client/listener.h"
#include "client/sink_channels.h"
#include "client/sink_requests.h"
#include "protocol/control/control.h"

namespace sink::client::abi {

protocol::Subscribe to_request(const sink_subscription& subscription);
protocol::Seek to_request(const sink_place& place);
protocol::Expose to_request(const sink_service& service);
protocol::Uuid uuid_of(const sink_uuid& uuid);
sink_uuid to_c(const protocol::Uuid& uuid);

// What a reply says, in the shape of the C ABI; borrows from the reply.
class ReplyLoan {
 public:
  explicit ReplyLoan(const Reply& reply);
  ReplyLoan(const ReplyLoan&) = delete;
  ReplyLoan& operator=(const ReplyLoan&) = delete;
  const sink_reply& reply() const { return reply_; }

 private:
  void lend_page(const protocol::LogPage& page);
  void lend_found(const protocol::FoundServices& found);

  std::vector<sink_paged_event> events_;
  std::vector<sink_missing> missing_;
  sink_page page_{};
  std::vector<sink_found_service> services_;
  sink_found_services found_{};
  sink_channel channel_{};
  sink_reply reply_{};
};

// What a notice of a service says; borrows from it.
class ServiceLoan {
 public:
  explicit ServiceLoan(const ServiceNotice& notice);
  ServiceLoan(const ServiceLoan&) = delete;
  ServiceLoan& operator=(const ServiceLoan&) = delete;
  const sink_service_notice& notice() const { return notice_; }

 private:
  sink_uuid uuid_{};
  sink_service_notice notice_{};
};

}  // namespace sink::client::abi
