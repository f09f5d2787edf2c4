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
  explicit Server(const HttpServer::Deadlines& deadlines = {})
      : http(loop.get(), [this](std::string_view path) {
          asked.emplace_back(path);
          HttpResponse response;
          response.status = path == "/there" ? 200 : 404;
          response.body = path == "/there" ? std::string(body_bytes, 'b') : "no such page\n";
          return response;
        }) {
    http.set_deadlines(deadlines);
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

  // Runs the loop until everybody who was let in is gone again.
  void run_until_alone() {
    do uv_run(loop.get(), UV_RUN_ONCE);
    while (http.connections() > 0);
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
  CHECK(server.exchange(huge).rfind("HTTP/1.1 431", 0) == 0);
  CHECK(server.exchange("nonsense\r\n\r\n").rfind("HTTP/1.1 400", 0) == 0);
  CHECK(server.exchange("PRI * HTTP/2.0\r\n\r\n").rfind("HTTP/1.1 505", 0) == 0);
  std::string answer;
  server.loop.run_beside([&] {
    std::vector<int> silent;
    for (size_t n = 0; n + 1 < HttpServer::kConnectionsMax; ++n)
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

TEST_CASE("http: a refusal arrives although its body is still being sent") {
  Server server;
  const std::string body(1 << 20, 'x');
  const std::string refused = server.exchange(
      request("POST", "/there", "Content-Length: " + std::to_string(body.size()) + "\r\n") + body);
  CHECK(refused.rfind("HTTP/1.1 405", 0) == 0);
  CHECK(refused.find("Allow: GET, HEAD\r\n") != std::string::npos);
  CHECK(refused.find("only GET and HEAD") != std::string::npos);
  CHECK(server.exchange(request("GET", "/there", "Content-Length: 9\r\n") + "GET /x HT")
            .rfind("HTTP/1.1 200", 0) == 0);
  CHECK(server.asked == std::vector<std::string>{"/there"});
}

TEST_CASE("http: HTTP/1.0 ends the connection unless it asks to keep it") {
  Server server;
  CHECK(server.exchange("GET /there HTTP/1.0\r\n\r\n").find("Connection: close\r\n") !=
        std::string::npos);
  const std::string two = server.exchange("HEAD /there HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                                          "GET /elsewhere HTTP/1.0\r\n\r\n");
  CHECK(two.find("Connection: keep-alive\r\n") != std::string::npos);
  CHECK(two.find("\r\n\r\nHTTP/1.1 404 Not Found\r\n") != std::string::npos);
}

TEST_CASE("http: who says nothing, half a request or byte after byte is let go") {
  Server server({.request_ms = 20});
  const int silent = connect_port(server.http.port());
  const int half = connect_port(server.http.port());
  send_all(half, "GET /th", 7);
  server.run_until_alone();
  CHECK(receive(silent, SIZE_MAX).empty());
  CHECK(receive(half, SIZE_MAX).empty());
  close(silent);
  close(half);
  server.loop.run_beside([&] {
    const int slow = connect_port(server.http.port());
    while (send_all(slow, "x", 1)) std::this_thread::yield();
    close(slow);
  });
  CHECK(server.http.connections() == 0);
  CHECK(server.asked.empty());
}

TEST_CASE("http: who does not take its answer, or does not end after it, is let go") {
  Server server({.reply_ms = 20, .linger_ms = 20});
  server.body_bytes = 32 << 20;
  const int lazy = connect_port(server.http.port());
  const std::string bytes = request("GET", "/there");
  send_all(lazy, bytes.data(), bytes.size());
  server.run_until_alone();
  CHECK(receive(lazy, SIZE_MAX).size() < server.body_bytes);
  server.body_bytes = 5;
  const int loitering = connect_port(server.http.port());
  send_all(loitering, bytes.data(), bytes.size());
  server.run_until_alone();
  CHECK(receive(loitering, SIZE_MAX).rfind("HTTP/1.1 200", 0) == 0);
  close(lazy);
  close(loitering);
}

TEST_CASE("http: whoever is one too many is served when another has gone") {
  Server server;
  std::string answer;
  server.loop.run_beside([&] {
    std::vector<int> silent;
    for (size_t n = 0; n < HttpServer::kConnectionsMax; ++n)
      silent.push_back(connect_port(server.http.port()));
    const int peer = connect_port(server.http.port());
    const std::string bytes = request("GET", "/there");
    send_all(peer, bytes.data(), bytes.size());
    close(silent[0]);
    answer = receive(peer, SIZE_MAX);
    for (size_t n = 1; n < silent.size(); ++n) close(silent[n]);
    close(peer);
  });
  CHECK(answer.rfind("HTTP/1.1 200", 0) == 0);
}

TEST_CASE("http: ends at once in the middle of answers and requests") {
  Server server;
  server.body_bytes = 32 << 20;
  const int lazy = connect_port(server.http.port());
  const int half = connect_port(server.http.port());
  const std::string bytes = request("GET", "/there");
  send_all(lazy, bytes.data(), bytes.size());
  send_all(half, "GET /th", 7);
  while (server.asked.empty()) uv_run(server.loop.get(), UV_RUN_ONCE);
  bool done = false;
  server.http.terminate([&] { done = true; });
  uv_run(server.loop.get(), UV_RUN_DEFAULT);
  CHECK(done);
  CHECK(server.http.connections() == 0);
  close(lazy);
  close(half);
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
