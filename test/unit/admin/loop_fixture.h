// A real loop, a folder of its own and blocking peers in threads, for the tests of the two servers.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

namespace sink::admin_server::fixture {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sinkd-admin-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class Loop {
 public:
  Loop() { REQUIRE(uv_loop_init(&loop_) == 0); }
  ~Loop() {
    uv_run(&loop_, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop_) == 0);
  }
  uv_loop_t* get() { return &loop_; }

  // Runs the loop until `peer`, in a thread of its own, has returned. Results of `peer` are checked
  // afterwards, by the caller.
  void run_beside(const std::function<void()>& peer) {
    uv_async_t done;
    uv_async_init(&loop_, &done, [](uv_async_t* handle) { uv_stop(handle->loop); });
    std::thread thread([&] {
      peer();
      uv_async_send(&done);
    });
    uv_run(&loop_, UV_RUN_DEFAULT);
    thread.join();
    uv_close(reinterpret_cast<uv_handle_t*>(&done), nullptr);
    uv_run(&loop_, UV_RUN_NOWAIT);
  }

 private:
  uv_loop_t loop_;
};

inline int connect_unix(const std::string& path) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
    return descriptor;
  close(descriptor);
  return -1;
}

inline bool send_all(int descriptor, const void* bytes, size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t sent = send(descriptor, at, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

// Up to `size` bytes; fewer at the peer's end.
inline std::string receive(int descriptor, size_t size) {
  std::string out;
  while (out.size() < size) {
    char buffer[4096];
    const ssize_t got = recv(descriptor, buffer, std::min(sizeof(buffer), size - out.size()), 0);
    if (got <= 0) break;
    out.append(buffer, static_cast<size_t>(got));
  }
  return out;
}

}  // namespace sink::admin_server::fixture
