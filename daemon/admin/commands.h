// Executes admin commands on a broker. Responsible for the verbs, for waiting until what they
// changed is committed, and for the audit; not for the socket (control_socket.h). The verbs live in
// *_commands.cc by noun. Owner: the daemon; outlives the last finish of the broker's disk lanes.
// Invariant: a changing command is answered with ok only after its records are on stable storage.
#pragma once

#include <deque>
#include <string_view>

#include "daemon/admin/executor.h"
#include "daemon/admin/host.h"
#include "daemon/admin/slices.h"
#include "daemon/broker/broker.h"

namespace sink::admin_server {

class Commands final : public Executor {
 public:
  Commands(broker::Broker& broker, Host& host) : broker_(broker), host_(host), slices_(host) {}

  void execute(const admin::Command& command, const Caller& caller, Done done) override;

  // Call after every Broker::turn(): does the next slice of long commands, and answers those whose
  // records have been committed since.
  void on_round();
  size_t waiting() const { return waiting_.size(); }
  bool slices_waiting() const { return !slices_.empty(); }

 private:
  struct Waiting {
    storage::Sequence sequence = 0;
    AuditEntry audit;
    admin::Reply reply;
    Done done;
  };

  void dispatch(const admin::Command& command, Done done);
  void await_commit(AuditEntry audit, admin::Reply reply, const Done& done);
  void conclude(AuditEntry audit, admin::Reply reply, const Done& done);

  broker::Broker& broker_;
  Host& host_;
  Slices slices_;
  std::deque<Waiting> waiting_;  // by sequence, ascending
};

// Whether the verb changes anything when it is not a dry run.
bool is_changing(admin::Verb verb);

// "client_quarantine"; static storage.
std::string_view name_of(admin::Verb verb);

}  // namespace sink::admin_server
