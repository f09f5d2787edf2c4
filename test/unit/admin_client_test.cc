// sinkctl's end of the admin socket against a thread that plays sinkd, well or badly.
#include "tools/sinkctl/admin_client.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include "protocol/admin/admin_codec.h"

namespace sink::tools {
namespace {

// Accepts one connection and hands it to `serve`, which need not close it.
class OneAnswer {
 public:
  explicit OneAnswer(std::function<void(int)> serve)
      : path_(std::filesystem::temp_directory_path() /
              ("sinkctl-admin-" + std::to_string(::getpid()))) {
    std::filesystem::remove(path_);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(listen(listener_, 1) == 0);
    thread_ = std::thread([this, serve = std::move(serve)] {
      const int connection = accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      serve(connection);
      close(connection);
    });
  }
  ~OneAnswer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    std::filesystem::remove(path_);
  }
  std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
  int listener_ = -1;
  std::thread thread_;
};

void read_exactly(int connection, std::vector<uint8_t>& bytes) {
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = read(connection, bytes.data() + have, bytes.size() - have);
    if (got <= 0) return;
    have += static_cast<size_t>(got);
  }
}

admin::Command receive_command(int connection) {
  std::vector<uint8_t> bytes(admin::kFrameHeaderBytes);
  read_exactly(connection, bytes);
  bytes.resize(admin::payload_size(bytes, admin::kCommandBytesMax)->value());
  read_exactly(connection, bytes);
  return admin::decode_command(bytes).value();
}

void send_bytes(int connection, const std::vector<uint8_t>& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t written =
        send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (written <= 0) return;
    sent += static_cast<size_t>(written);
  }
}

constexpr uint64_t kPatienceMs = 20'000;

}  // namespace

TEST_CASE("admin client: a command goes out, a large answer comes back in pieces") {
  OneAnswer daemon([](int connection) {
    admin::Reply reply;
    reply.message = receive_command(connection).client_id;
    reply.events.resize(1);
    reply.events[0].event_data = std::string(5'000'000, 'x');
    const auto frame = admin::encode(reply).value();
    send_bytes(connection, {frame.begin(), frame.begin() + 2});
    send_bytes(connection, {frame.begin() + 2, frame.end()});
  });
  const auto reply = ask_daemon(daemon.path(), kPatienceMs,
                                {.verb = admin::Verb::client_show, .client_id = "meter-1"});
  REQUIRE(reply);
  CHECK(reply->message == "meter-1");
  CHECK(reply->events.at(0).event_data->size() == 5'000'000);
}

TEST_CASE("admin client: an answer that ends early is a lost connection") {
  OneAnswer daemon([](int connection) {
    receive_command(connection);
    const auto frame = admin::encode(admin::Reply{}).value();
    send_bytes(connection, {frame.begin(), frame.end() - 1});
  });
  const auto reply = ask_daemon(daemon.path(), kPatienceMs, {});
  REQUIRE(!reply);
  CHECK(reply.error().status == ExitStatus::unavailable);
}

TEST_CASE("admin client: bytes that are no answer, and one that is too long") {
  for (const uint8_t length : {0x00, 0xff}) {
    OneAnswer daemon([length](int connection) {
      receive_command(connection);
      send_bytes(connection, {length, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8});
    });
    const auto reply = ask_daemon(daemon.path(), kPatienceMs, {});
    REQUIRE(!reply);
    CHECK(reply.error().status == ExitStatus::internal);
  }
}

TEST_CASE("admin client: no answer in time asks to try again") {
  OneAnswer daemon([](int connection) {
    receive_command(connection);
    uint8_t byte = 0;
    CHECK(read(connection, &byte, 1) == 0);  // until the client gives up
  });
  const auto reply = ask_daemon(daemon.path(), 50, {});
  REQUIRE(!reply);
  CHECK(reply.error().status == ExitStatus::busy);
}

TEST_CASE("admin client: who may not open the socket is told so") {
  if (geteuid() == 0) return;  // root may open everything
  OneAnswer daemon([](int) {});
  REQUIRE(chmod(daemon.path().c_str(), 0) == 0);
  const auto reply = ask_daemon(daemon.path(), kPatienceMs, {});
  REQUIRE(!reply);
  CHECK(reply.error().status == ExitStatus::not_permitted);
}

TEST_CASE("admin client: what cannot be reached is told apart") {
  CHECK(ask_daemon("/nonexistent/control.sock", 1'000, {}).error().status ==
        ExitStatus::unavailable);
  CHECK(ask_daemon("", 1'000, {}).error().status == ExitStatus::usage);
  CHECK(ask_daemon(std::string(200, 'x'), 1'000, {}).error().status == ExitStatus::usage);
}

}  // namespace sink::tools
