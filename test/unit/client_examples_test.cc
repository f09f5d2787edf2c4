// The examples do what they say, as programs, against a scripted server on a thread.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "server_thread.h"

namespace {

using namespace sink;
using test::FakeServer;
using test::ServerThread;

// Runs in a directory of its own, where the examples leave their state.
struct Folder {
  Folder() {
    char pattern[] = "/tmp/sink_examples_XXXXXX";
    path = mkdtemp(pattern);
  }
  ~Folder() { std::filesystem::remove_all(path); }

  // The standard output; `status` is the exit status.
  std::string run(const std::string& command) {
    FILE* pipe = popen(("cd " + path + " && " + command + " 2>errors").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string output;
    std::array<char, 4096> piece;
    while (const size_t count = fread(piece.data(), 1, piece.size(), pipe))
      output.append(piece.data(), count);
    status = WEXITSTATUS(pclose(pipe));
    return output;
  }
  std::string path;
  int status = -1;
};

}  // namespace

TEST_CASE("examples: publish has each event accepted, and is the same client again") {
  ServerThread server;
  Folder folder;
  CHECK(folder.run(EXAMPLE_PUBLISH " " + server.address + " 2500") == "2500 accepted, 0 lost\n");
  CHECK(folder.status == 0);
  CHECK(folder.run(EXAMPLE_PUBLISH " " + server.address + " 2") == "2 accepted, 0 lost\n");
  FakeServer& heard = server.join();
  CHECK(heard.offsets.size() == 2502);
  CHECK(heard.requested_server_ids.back() == 99);
}

TEST_CASE("examples: consume ACKs what it prints") {
  ServerThread server([](FakeServer& fake) {
    fake.on_connected = [&fake](auto& peer) {
      for (uint16_t id = 1; id <= 3; ++id) fake.deliver(peer, id, id + 10u);
    };
  });
  Folder folder;
  CHECK(folder.run(EXAMPLE_CONSUME " " + server.address + " 3") ==
        "delivered 11 to you\ndelivered 12 to you\ndelivered 13 to you\n");
  CHECK(folder.status == 0);
  CHECK(server.join().acks == std::vector<uint16_t>{1, 2, 3});
}

TEST_CASE("examples: a small device without libuv publishes, answers and connects again") {
  int drops = 1;
  ServerThread server([&drops](FakeServer& fake) {
    fake.on_connected = [&fake](auto& peer) { fake.deliver(peer, 7, 21); };
    const auto answer = fake.on_publish;
    fake.on_publish = [&fake, &drops, answer](auto& peer, const auto& publish) {
      if (publish.event.offset == 40 && drops-- > 0) return fake.drop(peer);
      answer(peer, publish);
    };
  });
  Folder folder;
  std::string address = server.address;
  address[address.find(':')] = ' ';
  CHECK(folder.run(SMALL_DEVICE " " + address + " 100") == "100 accepted\n");
  CHECK(folder.status == 0);
  FakeServer& heard = server.join();
  CHECK(heard.acks == std::vector<uint16_t>{7, 7});
  CHECK(std::set(heard.offsets.begin(), heard.offsets.end()).size() == 100);
}

TEST_CASE("examples: the library for C shows its own functions and nothing else") {
  Folder folder;
  const std::string shown = folder.run("nm -D --defined-only --format=posix " SINK_LIBRARY);
  std::istringstream lines(shown);
  size_t functions = 0;
  for (std::string line; std::getline(lines, line); ++functions) CHECK(line.find("sink_") == 0);
  CHECK(functions > 10);
}

TEST_CASE("examples: wrong use is told, not tried") {
  Folder folder;
  folder.run(EXAMPLE_PUBLISH " nonsense 1");
  CHECK(folder.status == 64);
  folder.run(EXAMPLE_CONSUME " nonsense 1");
  CHECK(folder.status == 64);
  folder.run(EXAMPLE_CONSUME);
  CHECK(folder.status == 64);
  folder.run(EXAMPLE_CHAT " call a.chat localhost:1 no.pem no.key");
  CHECK(folder.status == 64);
  folder.run(EXAMPLE_CHAT " write a.chat localhost:1 no.pem no.key no.pem");
  CHECK(folder.status == 64);
  folder.run(EXAMPLE_CHAT " call a.chat localhost:1 no.pem no.key no.pem");
  CHECK(folder.status == 64);
}
