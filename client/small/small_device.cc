// A device without libuv and OpenSSL: the part of the client that does no I/O, driven by hand over
// a blocking socket. Publishes COUNT events, ACKs what is delivered, connects again when the
// connection breaks. In place of the socket a device has its own TLS or radio. Keeps its instance
// ids in small_device.state.
//
//   small_device HOST PORT COUNT
//
// Exit status: 0 all answered, 1 refused, 64 usage.
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <utility>

#include "client/dropping.h"
#include "client/link.h"
#include "client/persistence.h"

namespace {

using namespace sink;

constexpr uint64_t kHandshakeMs = 30'000;

uint64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

int connect_to(const char* host, const char* port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
  int fd = -1;
  for (const addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) == 0) continue;
    close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  return fd;
}

class Device {
 public:
  explicit Device(uint64_t wanted) : wanted_(wanted) {}

  bool load() {
    const auto known = ids_.load();
    if (!known) return std::fprintf(stderr, "%s\n", known.error().c_str()), false;
    durable_.identity = *known ? **known : client::Identity{random(), std::nullopt};
    return known->has_value() || ids_.save(durable_.identity).has_value();
  }

  // One connection, from its request to its end.
  void talk(int fd) {
    client::LinkOptions options;
    options.application_version = "small-1";
    options.window = 16;
    options.protocol_version = version_;
    options.first_message_id = static_cast<uint16_t>(random() % protocol::kMessageIds);
    client::Link link(durable_, options, now_ms());
    const uint64_t patience_ms = now_ms() + kHandshakeMs;
    while (link.state() != client::LinkState::ended && !finished()) {
      if (link.state() == client::LinkState::connected) {
        fill();
        link.send_queued();
      } else if (now_ms() > patience_ms) {
        break;
      }
      if (!send(fd, link) || !receive(fd, link) || link.tick(now_ms())) break;
    }
    link.end();
    if (!durable_.session.id) durable_.queue.rewind();
  }

  // Milliseconds; what was in flight waits, and the oldest is given up after a minute.
  uint64_t wait_before_next() {
    drop(take_aged(durable_.queue, client::Reach::all, 60'000, now_ms()));
    return *durable_.backoff.next_delay_ms(now_ms(), random());
  }

  bool finished() const { return answered_ == wanted_ || refused_; }
  bool refused() const { return refused_; }
  uint64_t accepted() const { return durable_.counters.acked; }

 private:
  static uint32_t random() {
    uint32_t bits = 0;
    if (getentropy(&bits, sizeof bits) != 0) std::abort();
    return bits;
  }

  void fill() {
    while (offset_ < wanted_ && !durable_.queue.full()) {
      char text[24];
      const int size = std::snprintf(text, sizeof text, "%llu", (unsigned long long)++offset_);
      (void)durable_.queue.push({1, 1, "small", offset_, 0, {text, static_cast<size_t>(size)}},
                                offset_, now_ms());
    }
  }

  bool send(int fd, client::Link& link) {
    while (!link.output().empty()) {
      const auto bytes = link.output().unsent();
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      link.mark_sent(static_cast<size_t>(sent), now_ms());
    }
    return true;
  }

  // Waits for bytes, or until the link has something to do.
  bool receive(int fd, client::Link& link) {
    pollfd ready{fd, POLLIN, 0};
    const uint64_t now = now_ms();
    const uint64_t due = link.deadline_ms();
    const uint64_t left = due > now ? due - now : 0;
    if (poll(&ready, 1, static_cast<int>(left < 1'000 ? left : 1'000)) == 0) return true;
    char buffer[2'048];
    const ssize_t count = recv(fd, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    link.lend({buffer, static_cast<size_t>(count)}, now_ms());
    while (const auto event = link.next()) act_on(*event, link);
    link.settle();
    return true;
  }

  void act_on(const client::LinkEvent& event, client::Link& link) {
    if (std::holds_alternative<client::PublishAnswered>(event)) ++answered_;
    if (std::holds_alternative<client::HandshakeDone>(event))
      durable_.backoff.on_connected(now_ms());
    if (const auto* delivered = std::get_if<client::EventDelivered>(&event))
      link.ack(delivered->message_id);
    if (const auto* hello = std::get_if<client::HelloNewClient>(&event)) {
      const client::Identity known{durable_.identity.client_instance_id, hello->server_instance_id};
      if (ids_.save(known)) link.identity_saved();
    }
    if (const auto* refusal = std::get_if<client::LinkRefused>(&event)) {
      refused_ = true;
      if (refusal->code == protocol::ResponseCode::unsupported_protocol_version &&
          std::exchange(version_, protocol::kProtocolVersion0) != protocol::kProtocolVersion0) {
        refused_ = false;  // asked again in the server's own version
        durable_.session = {};
        return;
      }
      std::fprintf(stderr, "refused: %s %.*s\n", protocol::to_string(refusal->code),
                   static_cast<int>(refusal->human.size()), refusal->human.data());
    }
    if (const auto* failed = std::get_if<client::LinkFailed>(&event))
      std::fprintf(stderr, "%s\n", failed->reason.c_str());
  }

  void drop(const std::vector<client::DroppedEvent>& dropped) {
    answered_ += dropped.size();
    if (!dropped.empty()) std::fprintf(stderr, "%zu events given up\n", dropped.size());
  }

  uint64_t wanted_;
  client::FilePersistence ids_{"small_device.state"};
  client::DurableState durable_{{}, client::PublishQueue({32, 16 * 1024}), {}, {}, {}};
  uint8_t version_ = protocol::kProtocolVersion1;
  uint64_t offset_ = 0;
  uint64_t answered_ = 0;  // or given up
  bool refused_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: small_device HOST PORT COUNT\n"), 64;
  Device device(std::strtoull(argv[3], nullptr, 10));
  if (!device.load()) return 1;
  while (!device.finished()) {
    const int fd = connect_to(argv[1], argv[2]);
    if (fd >= 0) {
      device.talk(fd);
      close(fd);
    }
    if (!device.finished()) poll(nullptr, 0, static_cast<int>(device.wait_before_next()));
  }
  std::printf("%llu accepted\n", (unsigned long long)device.accepted());
  return device.refused() ? 1 : 0;
}
