#include "client/reception.h"

#include <netdb.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace sink::client {
namespace {

constexpr int kBacklog = 16;

}  // namespace

// The listening socket and the timer for callers; freed when both have closed.
struct Reception::Handles {
  explicit Handles(Reception& reception) : owner(&reception) {}

  Reception* owner;
  uv_tcp_t listener{};
  uv_timer_t timer{};
  bool listening = false;  // the listener is initialised
  int open = 1;

  static void closed(uv_handle_t* handle) {
    auto* handles = static_cast<Handles*>(handle->data);
    if (--handles->open == 0) delete handles;
  }
};

// Until TLS is done. It ends in a callback of its transport and is freed later, by sweep().
class Reception::Caller final : public Transport::Owner {
 public:
  explicit Caller(Reception& reception)
      : deadline_ms(uv_now(reception.loop_) + kProofMs),
        transport(std::make_unique<Transport>(
            reception.loop_,
            Transport::Caller{reinterpret_cast<uv_stream_t*>(&reception.handles_->listener),
                              reception.tls_, reception.names_},
            *this)),
        reception_(reception) {}

  const uint64_t deadline_ms;
  std::unique_ptr<Transport> transport;
  bool over = false;

 private:
  void on_open() override { reception_.proved(*this); }
  void on_input(protocol::Bytes) override {}
  void on_writable() override {}
  void on_end(Stage, std::string) override {
    over = true;
    ++reception_.turned_away_;
    reception_.watch();
  }

  Reception& reception_;
};

Reception::Reception(uv_loop_t* loop, std::shared_ptr<const tls::ClientContext> tls,
                     std::vector<std::string> names, Proved on_proved)
    : loop_(loop),
      tls_(std::move(tls)),
      names_(std::move(names)),
      on_proved_(std::move(on_proved)),
      handles_(new Handles(*this)) {
  uv_timer_init(loop_, &handles_->timer);  // cannot fail
  handles_->timer.data = handles_;
}

Reception::~Reception() {
  handles_->owner = nullptr;
  if (handles_->listening)
    uv_close(reinterpret_cast<uv_handle_t*>(&handles_->listener), Handles::closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&handles_->timer), Handles::closed);
}

tl::expected<void, std::string> Reception::listen(const protocol::Endpoint& address) {
  sockaddr_storage name{};
  const int port = std::atoi(address.port.c_str());
  int status = uv_ip4_addr(address.host.c_str(), port, reinterpret_cast<sockaddr_in*>(&name));
  if (status != 0)
    status = uv_ip6_addr(address.host.c_str(), port, reinterpret_cast<sockaddr_in6*>(&name));
  if (status == 0 && !handles_->listening) {
    status = uv_tcp_init(loop_, &handles_->listener);
    handles_->listener.data = handles_;
    handles_->listening = status == 0;
    handles_->open += status == 0 ? 1 : 0;
  }
  if (status == 0)
    status = uv_tcp_bind(&handles_->listener, reinterpret_cast<const sockaddr*>(&name), 0);
  if (status == 0)
    status = uv_listen(reinterpret_cast<uv_stream_t*>(&handles_->listener), kBacklog,
                       [](uv_stream_t* stream, int error) {
                         auto* owner = static_cast<Handles*>(stream->data)->owner;
                         if (owner != nullptr && error == 0) owner->accept();
                       });
  if (status == 0) return {};
  return tl::unexpected("cannot listen on " + to_string(address) + ": " + uv_strerror(status) +
                        "; choose another address to listen on");
}

std::string Reception::address() const {
  sockaddr_storage name{};
  int size = sizeof name;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (!handles_->listening ||
      uv_tcp_getsockname(&handles_->listener, reinterpret_cast<sockaddr*>(&name), &size) != 0 ||
      getnameinfo(reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(size), host,
                  sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  return to_string(protocol::Endpoint{host, port, {}});
}

void Reception::accept() {
  sweep();
  if (callers_.size() >= kCallersMax) {
    if (callers_.front()->deadline_ms > uv_now(loop_) + kProofMs - kPatienceMs) return turn_away();
    callers_.pop_front();
    ++turned_away_;
  }
  callers_.push_back(std::make_unique<Caller>(*this));
  callers_.back()->transport->open();
  watch();
}

void Reception::turn_away() {
  ++turned_away_;
  auto* taken = new uv_tcp_t;
  uv_tcp_init(loop_, taken);
  (void)uv_accept(reinterpret_cast<uv_stream_t*>(&handles_->listener),
                  reinterpret_cast<uv_stream_t*>(taken));  // closed either way
  uv_close(reinterpret_cast<uv_handle_t*>(taken),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_tcp_t*>(handle); });
}

void Reception::proved(Caller& caller) {
  caller.over = true;
  watch();
  const size_t server = caller.transport->proved_name();
  const Proved on_proved = on_proved_;
  on_proved(server, std::move(caller.transport));  // may destroy the reception
}

void Reception::sweep() {
  const uint64_t now_ms = uv_now(loop_);
  std::erase_if(callers_, [&](const auto& caller) {
    const bool late = !caller->over && caller->deadline_ms <= now_ms;
    turned_away_ += late ? 1 : 0;
    return late || caller->over;
  });
}

void Reception::watch() {
  uint64_t due_ms = UINT64_MAX;
  for (const auto& caller : callers_)
    due_ms = std::min(due_ms, caller->over ? uv_now(loop_) : caller->deadline_ms);
  if (due_ms == UINT64_MAX) return;
  uv_timer_start(
      &handles_->timer,
      [](uv_timer_t* timer) {
        auto* owner = static_cast<Handles*>(timer->data)->owner;
        if (owner == nullptr) return;
        owner->sweep();
        owner->watch();
      },
      due_ms - std::min(due_ms, uv_now(loop_)), 0);
}

}  // namespace sink::client
