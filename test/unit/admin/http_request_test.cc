// Heads of HTTP requests, whole, in pieces and wrong.
#include "daemon/admin/http_request.h"

#include <doctest/doctest.h>

#include <vector>

using namespace sink::admin_server;

namespace {

const std::string kHost = "Host: localhost\r\n";

// The first request of `bytes`, which must be understood.
HttpRequest read(const std::string& bytes) {
  HttpRequestReader reader;
  reader.add(bytes);
  const auto request = reader.next();
  if (!request) FAIL("refused with " << status_of(request.error()));
  if (!*request) FAIL("not whole");
  return **request;
}

// The status that refuses `bytes`; 0: they are not refused.
unsigned refused(const std::string& bytes) {
  HttpRequestReader reader;
  reader.add(bytes);
  const auto request = reader.next();
  return request ? 0 : status_of(request.error());
}

std::string get(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\n" + kHost + fields + "\r\n";
}

}  // namespace

TEST_CASE("http request: method and path, without the query") {
  CHECK(read(get("/metrics")).path == "/metrics");
  CHECK(read(get("/metrics")).method == HttpMethod::get);
  CHECK(read(get("/?a=/b?c")).path == "/");
  CHECK(read("HEAD /x HTTP/1.0\r\n\r\n").method == HttpMethod::head);
  for (const char* line : {"POST /x", "get /x", "OPTIONS *", "CONNECT host:1"})
    CHECK(read(line + std::string(" HTTP/1.1\r\n") + kHost + "\r\n").method == HttpMethod::other);
}

TEST_CASE("http request: a proxy's absolute form is the same path") {
  CHECK(read(get("http://localhost:9464/healthz?x")).path == "/healthz");
  CHECK(read(get("HTTP://localhost")).path == "/");
  CHECK(read(get("http://localhost?x")).path == "/");
  CHECK(refused(get("http:///x")) == 400);
  CHECK(refused(get("ftp://localhost/x")) == 400);
}

TEST_CASE("http request: byte by byte, with bare line feeds, behind empty lines") {
  for (const std::string& bytes :
       {get("/a", "Connection: close\r\n"),
        std::string("\r\n\n\r\nGET /a HTTP/1.1\nHost: x\nConnection: close\n\n")}) {
    HttpRequestReader reader;
    for (size_t at = 0; at < bytes.size(); ++at) {
      reader.add(bytes.substr(at, 1));
      const auto request = reader.next();
      REQUIRE(request);
      CHECK(request->has_value() == (at + 1 == bytes.size()));
      if (*request) CHECK((*request)->path == "/a");
      if (*request) CHECK(!(*request)->keeps_alive);
    }
    CHECK(reader.empty());
  }
}

TEST_CASE("http request: several in a row, each once") {
  HttpRequestReader reader;
  reader.add(get("/1") + get("/2") + get("/3").substr(0, 10));
  CHECK(reader.next().value()->path == "/1");
  CHECK(reader.next().value()->path == "/2");
  CHECK(!reader.next().value());
  CHECK(!reader.empty());
  reader.add(get("/3").substr(10));
  CHECK(reader.next().value()->path == "/3");
  CHECK(reader.empty());
}

TEST_CASE("http request: who wants the connection kept") {
  const auto kept = [](const std::string& version, const std::string& options) {
    return read("GET / HTTP/" + version + "\r\n" + kHost +
                (options.empty() ? "" : "connection: " + options + "\r\n") + "\r\n")
        .keeps_alive;
  };
  CHECK(kept("1.1", ""));
  CHECK(!kept("1.1", "Close"));
  CHECK(!kept("1.1", "TE ,\tclose"));
  CHECK(kept("1.1", "closed"));
  CHECK(!kept("1.0", ""));
  CHECK(kept("1.0", "Keep-Alive"));
}

TEST_CASE("http request: a body is announced by either field") {
  CHECK(!read(get("/")).has_body);
  CHECK(!read(get("/", "Content-Length: 0\r\n")).has_body);
  CHECK(read(get("/", "Content-Length: 3\r\n")).has_body);
  CHECK(read(get("/", "content-length:\r\n")).has_body);
  CHECK(read(get("/", "Transfer-Encoding: chunked\r\n")).has_body);
}

TEST_CASE("http request: what is no request is refused") {
  for (const char* line :
       {"nonsense", "GET /x", "GET  HTTP/1.1", "GET x HTTP/1.1", "GET /x y HTTP/1.1",
        "G(T /x HTTP/1.1", "GET /x http/1.1", "GET /x HTTP/1.10", "GET /x HTTP/1,1",
        "GET /\x01 HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1", " GET /x HTTP/1.1"})
    CHECK_MESSAGE(refused(line + ("\r\n" + kHost) + "\r\n") == 400, line);
  for (const char* field :
       {"no colon", ": no name", "Name : space", " folded: line", "Name: control\x02", "N\tm: x",
        "Name: a\rb"})
    CHECK_MESSAGE(refused(get("/", std::string(field) + "\r\n")) == 400, field);
  CHECK(refused("GET / HTTP/2.0\r\n" + kHost + "\r\n") == 505);
  CHECK(refused("PRI * HTTP/2.0\r\n\r\n") == 505);
}

TEST_CASE("http request: one Host, and only HTTP/1.0 may do without") {
  CHECK(refused("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(refused(get("/", "host: other\r\n")) == 400);
  CHECK(refused("GET / HTTP/1.0\r\n\r\n") == 0);
}

TEST_CASE("http request: a head has an end within its bytes, or is refused") {
  constexpr size_t kMost = HttpRequestReader::kHeadBytesMax;
  const auto of_size = [](size_t bytes) {
    return get("/", "X: " + std::string(bytes - get("/", "X: \r\n").size(), 'x') + "\r\n");
  };
  REQUIRE(of_size(kMost).size() == kMost);
  CHECK(refused(of_size(kMost)) == 0);
  CHECK(refused(of_size(kMost + 1)) == 431);
  HttpRequestReader reader;
  reader.add(std::string(kMost, 'x'));
  CHECK(reader.next().has_value());
  reader.add("x");
  CHECK(reader.next().error() == HttpFault::too_long);
  HttpRequestReader empty_lines;
  for (int i = 0; i < 10; ++i) {
    empty_lines.add(std::string(kMost, '\n'));
    CHECK(!empty_lines.next().value());
    CHECK(empty_lines.empty());
  }
}
