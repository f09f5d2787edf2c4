// The HTTP port on a real loop.
#include "daemon/admin/http_server.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <optional>
#include <vector>

#include "test/unit/admin/loop_fixture.h"

using namespace sink::admin_server;
using namespace sink::admin_server::fixture;

namespace {

int connect_port(uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
    return descriptor;
  close(descriptor);
  return -1;
}

struct Server {
  Server()
      : http(loop.get(), [this](std::string_view path) {
          asked.emplace_back(path);
          HttpResponse response;
          response.status = path == "/there" ? 200 : 404;
          response.body = path == "/there" ? std::string(body_bytes, 'b') : "no such page\n";
          return response;
        }) {
    const auto listening = http.listen("127.0.0.1:0");
    if (!listening) FAIL(listening.error().message);
    REQUIRE(http.port() != 0);
  }
  ~Server() {
    bool done = false;
    http.terminate([&] { done = true; });
    uv_run(loop.get(), UV_RUN_DEFAULT);
    CHECK(done);
  }
  std::string exchange(const std::string& request) {
    std::string answer;
    loop.run_beside([&] {
      const int peer = connect_port(http.port());
      send_all(peer, request.data(), request.size());
      answer = receive(peer, SIZE_MAX);
      close(peer);
    });
    return answer;
  }

  Loop loop;
  std::vector<std::string> asked;
  size_t body_bytes = 5;
  HttpServer http;
};

std::string request(const std::string& method, const std::string& path,
                    const std::string& more = "") {
  return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more +
         "\r\n";
}

}  // namespace

TEST_CASE("http: GET and HEAD are answered, the query is not part of the path") {
  Server server;
  const std::string got = server.exchange(request("GET", "/there?x=1"));
  CHECK(got.rfind("HTTP/1.1 200", 0) == 0);
  CHECK(got.find("Content-Security-Policy: default-src 'none'") != std::string::npos);
  CHECK(got.substr(got.size() - 5) == "bbbbb");
  const std::string head = server.exchange(request("HEAD", "/there"));
  CHECK(head.rfind("HTTP/1.1 200", 0) == 0);
  CHECK(head.find("Content-Length: 5") != std::string::npos);
  CHECK(head.find("bbbbb") == std::string::npos);
  CHECK(server.exchange(request("GET", "/elsewhere")).rfind("HTTP/1.1 404", 0) == 0);
  CHECK(server.asked == std::vector<std::string>{"/there", "/there", "/elsewhere"});
}

TEST_CASE("http: other methods are refused, with or without a body") {
  Server server;
  CHECK(server.exchange(request("POST", "/there", "Content-Length: 3\r\n") + "abc")
            .rfind("HTTP/1.1 405", 0) == 0);
  CHECK(server.exchange(request("DELETE", "/there")).rfind("HTTP/1.1 405", 0) == 0);
  CHECK(server.asked.empty());
}

TEST_CASE("http: a long page arrives whole, and keep-alive works") {
  Server server;
  server.body_bytes = 3 << 20;
  const std::string got = server.exchange(request("GET", "/there"));
  CHECK(got.size() > server.body_bytes);
  server.body_bytes = 5;
  const std::string kept = "GET /there HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string two = server.exchange(kept + request("GET", "/there"));
  size_t answers = 0;
  for (size_t at = 0; (at = two.find("HTTP/1.1 200", at)) != std::string::npos; ++at) ++answers;
  CHECK(answers == 2);
}

TEST_CASE("http: nonsense, oversized headers and silent peers harm nobody else") {
  Server server;
  const std::string huge = request("GET", "/there", "X: " + std::string(64 * 1024, 'x') + "\r\n");
  CHECK(server.exchange(huge).rfind("HTTP/1.1 200", 0) != 0);
  CHECK(server.exchange("nonsense\r\n\r\n").rfind("HTTP/1.1 200", 0) != 0);
  std::string answer;
  server.loop.run_beside([&] {
    std::vector<int> silent;
    for (unsigned n = 0; n + 1 < HttpServer::kConnectionsMax; ++n)
      silent.push_back(connect_port(server.http.port()));
    const int peer = connect_port(server.http.port());
    const std::string bytes = request("GET", "/there");
    send_all(peer, bytes.data(), bytes.size());
    answer = receive(peer, SIZE_MAX);
    for (const int each : silent) close(each);
    close(peer);
  });
  CHECK(answer.rfind("HTTP/1.1 200", 0) == 0);
}

TEST_CASE("http: an idle server does not wake the loop") {
  Server server;
  server.exchange(request("GET", "/there"));
  CHECK(uv_backend_timeout(server.loop.get()) == -1);
}

TEST_CASE("http: addresses that are taken, not loopback or none are refused") {
  Server server;
  const auto refused = [&](const std::string& address) {
    HttpServer other(server.loop.get(), [](std::string_view) { return HttpResponse{}; });
    const auto result = other.listen(address);
    other.terminate([] {});
    REQUIRE(!result);
    return result.error();
  };
  const auto taken = refused("127.0.0.1:" + std::to_string(server.http.port()));
  CHECK(taken.fault == BindError::Fault::in_use);
  CHECK(taken.message.find(std::to_string(server.http.port())) != std::string::npos);
  CHECK(refused("0.0.0.0:0").fault == BindError::Fault::invalid);
  CHECK(refused("nonsense").fault == BindError::Fault::invalid);
}
