#include "daemon/operator_doors.h"

#include "daemon/admin/pages.h"

namespace sink::daemon {

OperatorDoors::OperatorDoors(uv_loop_t* loop, broker::Broker& broker, admin_server::Host& host)
    : commands_(broker, host),
      socket_(loop, commands_),
      http_(loop, [&broker, &host](std::string_view path) {
        return admin_server::answer_page(broker, host, path);
      }) {}

tl::expected<void, admin_server::BindError> OperatorDoors::open(const config::Config& config) {
  if (auto done = socket_.listen(config.admin.socket); !done) return done;
  if (config.http.address.empty()) return {};
  return http_.listen(config.http.address);
}

void OperatorDoors::close() {
  if (closed_) return;
  closed_ = true;
  socket_.terminate([] {});
  http_.terminate([] {});
}

}  // namespace sink::daemon
