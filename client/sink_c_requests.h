// Requests and replies between sink_requests.h and the library: translates, decides nothing.
#pragma once

#include <vector>

#include "client/listener.h"
#include "client/sink_requests.h"
#include "protocol/control/control.h"

namespace sink::client::abi {

protocol::Subscribe to_request(const sink_subscription& subscription);
protocol::Seek to_request(const sink_place& place);

// What a reply says, in the shape of the C ABI; borrows from the reply.
class ReplyLoan {
 public:
  explicit ReplyLoan(const Reply& reply);
  ReplyLoan(const ReplyLoan&) = delete;
  ReplyLoan& operator=(const ReplyLoan&) = delete;
  const sink_reply& reply() const { return reply_; }

 private:
  void lend_page(const protocol::LogPage& page);

  std::vector<sink_paged_event> events_;
  std::vector<sink_missing> missing_;
  sink_page page_{};
  sink_reply reply_{};
};

}  // namespace sink::client::abi
