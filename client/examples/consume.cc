// Prints and ACKs the events that a server delivers, on the program's own libuv loop. Keeps its
// instance ids in consume.state.
//
//   consume SERVER COUNT [CERTIFICATE KEY CA [LINKS]]
//
// Exit status: 0 after COUNT events, 1 refused or failed, 64 usage.
#include <uv.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "client/sink_client.h"
#include "tls/context.h"

namespace {

using namespace sink;

class Consumer final : public client::Listener {
 public:
  Consumer(uv_loop_t* loop, client::Options options, uint64_t wanted)
      : wanted_(wanted),
        connection_(loop, std::move(options),
                    std::make_shared<client::FilePersistence>("consume.state"), *this) {}

  void start() { connection_.start(); }
  bool done() const { return seen_ == wanted_; }

 private:
  void on_state(const client::StateChange& change) override {
    std::cerr << to_string(change.to) << ": " << change.reason << '\n';
    if (change.to == client::ConnectionState::failed) connection_.close();
  }
  void on_link(const client::LinkChange& change) override {
    std::cerr << "link " << int{change.number} << (change.up ? " is up: " : " is down: ")
              << change.reason << '\n';
  }
  // Others would wait for the operator; an example ends.
  void on_refused(const client::Refusal&) override { connection_.close(); }

  void on_delivery(const client::Delivery& delivery) override {
    std::cout << delivery.event.key << ' ' << delivery.event.offset << ' '
              << delivery.event.event_data << '\n';
    connection_.ack(delivery.id);
    if (++seen_ == wanted_) connection_.close();
  }

  uint64_t wanted_;
  uint64_t seen_ = 0;
  client::Connection connection_;
};

// Null where no certificate is given; nullopt, and told, where one cannot be used.
std::optional<std::shared_ptr<const tls::ClientContext>> load_tls(int argc, char** argv) {
  if (argc < 6) return nullptr;
  tls::ClientOptions files;
  files.certificate_file = argv[3];
  files.private_key_file = argv[4];
  files.server_ca_file = argv[5];
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  auto context = tls::ClientContext::load(files, static_cast<uint64_t>(ms));
  if (context) return *context;
  std::cerr << context.error().message << '\n';
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc != 3 && argc != 6 && argc != 7) {
    std::cerr << "usage: consume SERVER COUNT [CERTIFICATE KEY CA [LINKS]]\n";
    return 64;
  }
  client::Options options;
  const auto server = protocol::parse_endpoint(argv[1]);
  if (!server) {
    std::cerr << "SERVER " << server.error() << '\n';
    return 64;
  }
  options.server = *server;
  options.application_version = "example-1";
  if (argc == 7) options.links = static_cast<uint8_t>(std::strtoul(argv[6], nullptr, 10));
  const auto tls = load_tls(argc, argv);
  if (!tls) return 64;
  options.tls = *tls;
  uv_loop_t loop;
  uv_loop_init(&loop);
  bool done = false;
  {
    Consumer consumer(&loop, std::move(options), std::strtoull(argv[2], nullptr, 10));
    consumer.start();
    uv_run(&loop, UV_RUN_DEFAULT);
    done = consumer.done();
  }
  uv_loop_close(&loop);
  return done ? 0 : 1;
}
