// The admin socket on a real loop.
#include "daemon/admin/control_socket.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <optional>
#include <vector>

#include "protocol/admin/admin_codec.h"
#include "test/unit/admin/loop_fixture.h"

using namespace sink::admin_server;
using namespace sink::admin_server::fixture;
using sink::admin::Command;
using sink::admin::Outcome;
using sink::admin::Reply;
using sink::admin::Verb;

namespace {

// Answers with the client_id as message, at once or when it is told to.
class Echo final : public Executor {
 public:
  bool holds = false;
  std::vector<Caller> callers;
  std::atomic<size_t> calls{0};  // as `callers`, for the peers' thread
  std::vector<Done> held;
  size_t reply_bytes = 0;

  void execute(const Command& command, const Caller& caller, Done done) override {
    callers.push_back(caller);
    ++calls;
    if (holds) return held.push_back(std::move(done));
    Reply reply;
    reply.message = command.client_id + std::string(reply_bytes, 'x');
    done(std::move(reply));
  }
};

struct Server {
  explicit Server(std::optional<ControlSocket::Deadlines> deadlines = std::nullopt)
      : socket(loop.get(), echo), path(folder.file("control.sock")) {
    if (deadlines) socket.set_deadlines(*deadlines);
    const auto listening = socket.listen(path);
    if (!listening) FAIL(listening.error().message);
  }
  ~Server() {
    if (!ended) end();
  }
  void end() {
    bool done = false;
    socket.terminate([&] { done = true; });
    uv_run(loop.get(), UV_RUN_DEFAULT);
    CHECK(done);
    ended = true;
  }

  Folder folder;
  Loop loop;
  Echo echo;
  ControlSocket socket;
  std::string path;
  bool ended = false;
};

sink::admin::Frame frame_of(const std::string& client_id) {
  return *sink::admin::encode(Command{.verb = Verb::client_show, .client_id = client_id});
}

std::optional<Reply> receive_reply(int descriptor) {
  const std::string header = receive(descriptor, sink::admin::kFrameHeaderBytes);
  const auto* bytes = reinterpret_cast<const uint8_t*>(header.data());
  const auto size =
      sink::admin::payload_size({bytes, header.size()}, sink::admin::kReplyBytesMax);
  if (!size || !*size) return std::nullopt;
  const std::string payload = receive(descriptor, **size);
  auto reply = sink::admin::decode_reply(
      {reinterpret_cast<const uint8_t*>(payload.data()), payload.size()});
  if (!reply) return std::nullopt;
  return *reply;
}

bool ends(int descriptor) { return receive(descriptor, 1).empty(); }

// Without reading what came before.
void wait_until_closed_by_the_server(int descriptor) {
  pollfd closing{descriptor, 0, 0};
  while (poll(&closing, 1, -1) != 1 || (closing.revents & POLLHUP) == 0) {
  }
}

}  // namespace

TEST_CASE("control socket: mode 0660 under any umask, and gone afterwards") {
  for (const mode_t mask : {0000, 0022, 0077}) {
    const mode_t before = umask(mask);
    Server server;
    umask(before);
    struct stat made {};
    REQUIRE(stat(server.path.c_str(), &made) == 0);
    CHECK((made.st_mode & 07777) == 0660);
    server.end();
    CHECK(stat(server.path.c_str(), &made) != 0);
  }
}

TEST_CASE("control socket: commands one after the other, with the caller's credentials") {
  Server server;
  std::vector<std::optional<Reply>> replies;
  server.loop.run_beside([&] {
    const int peer = connect_unix(server.path);
    for (const char* name : {"a", "b"}) {
      const auto frame = frame_of(name);
      send_all(peer, frame.data(), frame.size());
      replies.push_back(receive_reply(peer));
    }
    close(peer);
  });
  REQUIRE(replies.size() == 2);
  REQUIRE(replies[1]);
  CHECK(replies[0]->message == "a");
  CHECK(replies[1]->message == "b");
  REQUIRE(server.echo.callers.size() == 2);
  CHECK(server.echo.callers[0].uid == getuid());
  CHECK(server.echo.callers[0].pid == getpid());
}

TEST_CASE("control socket: pipelined and byte by byte") {
  Server server;
  std::vector<std::string> messages;
  server.loop.run_beside([&] {
    const int peer = connect_unix(server.path);
    std::vector<uint8_t> bytes;
    for (const char* name : {"a", "b", "c"}) {
      const auto frame = frame_of(name);
      bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
    send_all(peer, bytes.data(), bytes.size());
    for (int n = 0; n < 3; ++n) messages.push_back(receive_reply(peer).value_or(Reply{}).message);
    const auto frame = frame_of("slow");
    for (const uint8_t byte : frame) {
      send_all(peer, &byte, 1);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    messages.push_back(receive_reply(peer).value_or(Reply{}).message);
    close(peer);
  });
  CHECK(messages == std::vector<std::string>{"a", "b", "c", "slow"});
}

TEST_CASE("control socket: too long and malformed frames are told and closed") {
  Server server;
  const std::string too_long("\x00\x20\x00\x00", 4);
  const std::string garbage("\x00\x00\x00\x08garbage!", 12);
  const std::string empty("\x00\x00\x00\x00", 4);
  for (const std::string& bytes : {too_long, garbage, empty}) {
    std::optional<Reply> reply;
    bool ended = false;
    server.loop.run_beside([&] {
      const int peer = connect_unix(server.path);
      send_all(peer, bytes.data(), bytes.size());
      reply = receive_reply(peer);
      ended = ends(peer);
      close(peer);
    });
    REQUIRE(reply);
    CHECK(reply->outcome == Outcome::invalid);
    CHECK(!reply->hint.empty());
    CHECK(ended);
  }
  CHECK(server.echo.callers.empty());
  CHECK(server.socket.connections() == 0);
}

TEST_CASE("control socket: an answer that is too long becomes an error") {
  Server server;
  server.echo.reply_bytes = sink::admin::kReplyBytesMax;
  std::optional<Reply> reply;
  server.loop.run_beside([&] {
    const int peer = connect_unix(server.path);
    const auto frame = frame_of("a");
    send_all(peer, frame.data(), frame.size());
    reply = receive_reply(peer);
    close(peer);
  });
  REQUIRE(reply);
  CHECK(reply->outcome == Outcome::internal);
}

TEST_CASE("control socket: silent peers and slow readers are ended") {
  Server server(ControlSocket::Deadlines{.request_ms = 100, .reply_ms = 100});
  server.echo.reply_bytes = 8 << 20;
  bool silent_ended = false;
  server.loop.run_beside([&] {
    const int silent = connect_unix(server.path);
    const int slow = connect_unix(server.path);
    const auto frame = frame_of("a");
    send_all(slow, frame.data(), frame.size());
    silent_ended = ends(silent);
    wait_until_closed_by_the_server(slow);
    close(silent);
    const size_t got = receive(slow, 9 << 20).size();
    CHECK(got < (8u << 20));
    close(slow);
  });
  CHECK(silent_ended);
  CHECK(server.socket.connections() == 0);
}

TEST_CASE("control socket: beyond the limit they wait their turn") {
  Server server;
  std::optional<Reply> last;
  size_t open = 0;
  server.loop.run_beside([&] {
    std::vector<int> peers;
    for (size_t n = 0; n < ControlSocket::kConnectionsMax; ++n)
      peers.push_back(connect_unix(server.path));
    const int waiting = connect_unix(server.path);
    const auto frame = frame_of("last");
    send_all(waiting, frame.data(), frame.size());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    open = server.echo.calls;
    close(peers[0]);
    last = receive_reply(waiting);
    for (size_t n = 1; n < peers.size(); ++n) close(peers[n]);
    close(waiting);
  });
  CHECK(open == 0);
  REQUIRE(last);
  CHECK(last->message == "last");
}

TEST_CASE("control socket: an answer after its connection or its server has ended is harmless") {
  Server server;
  server.echo.holds = true;
  server.loop.run_beside([&] {
    const int peer = connect_unix(server.path);
    const auto frame = frame_of("a");
    send_all(peer, frame.data(), frame.size());
    while (server.echo.calls == 0) std::this_thread::yield();
    close(peer);
  });
  REQUIRE(server.echo.held.size() == 1);
  server.end();
  server.echo.held[0](Reply{});
}

TEST_CASE("control socket: what a crash left is replaced; what lives or is no socket is not") {
  Folder folder;
  Loop loop;
  Echo echo;
  const std::string path = folder.file("control.sock");
  const auto listen_once = [&](const std::string& where) {
    ControlSocket socket(loop.get(), echo);
    const auto result = socket.listen(where);
    std::optional<BindError> error;
    if (!result) error = result.error();
    socket.terminate([] {});
    uv_run(loop.get(), UV_RUN_DEFAULT);
    return error;
  };
  const auto bind_at = [&](bool answers) {
    const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    REQUIRE(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    if (answers) REQUIRE(listen(descriptor, 1) == 0);
    return descriptor;
  };
  close(bind_at(false));
  CHECK(!listen_once(path));
  const int alive = bind_at(true);
  const auto in_use = listen_once(path);
  REQUIRE(in_use);
  CHECK(in_use->fault == BindError::Fault::in_use);
  CHECK(std::filesystem::exists(path));
  close(alive);
  std::filesystem::remove(path);
  std::ofstream(path) << "precious";
  CHECK(listen_once(path)->fault == BindError::Fault::invalid);
  CHECK(std::filesystem::file_size(path) == 8);
  CHECK(listen_once(folder.file("none/control.sock"))->message.find("directory") !=
        std::string::npos);
  CHECK(listen_once(std::string(200, 'x'))->fault == BindError::Fault::invalid);
}
