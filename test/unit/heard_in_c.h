// What the callbacks of the C ABI were told, in words, for tests.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "client/sink.h"

namespace sink::test {

inline std::string text(sink_bytes bytes) {
  return std::string(bytes.data, bytes.size);
}

// All that the callbacks were told, in words; may be waited for from another thread.
struct Heard {
  Heard() {
    sink_callbacks_init(&callbacks);
    callbacks.user = this;
    callbacks.on_state = [](void* user, const sink_state_change* change) {
      self(user)->add(std::string(sink_state_name(change->to)));
    };
    callbacks.on_connected = [](void* user, const sink_connected* now) {
      self(user)->add((now->new_client ? "new at " : "at ") +
                      std::to_string(now->server_instance_id) + now->tls_version);
    };
    callbacks.on_disconnected = [](void* user, const sink_disconnection* lost) {
      self(user)->add(std::string("lost while ") + lost->stage);
    };
    callbacks.on_refused = [](void* user, const sink_refusal* refusal) {
      self(user)->add("refused " + std::to_string(refusal->code) + " " + refusal->name + " " +
                      text(refusal->machine) + "/" + text(refusal->human));
    };
    callbacks.on_answer = [](void* user, const sink_answer* answer) {
      self(user)->add((answer->acked ? "acked " : "nacked ") + std::to_string(answer->tag) + " " +
                      text(answer->event.event_data) + text(answer->machine) + text(answer->human));
    };
    callbacks.on_delivery = [](void* user, const sink_delivery* delivery) {
      Heard* heard = self(user);
      heard->ids.push_back(delivery->id);
      heard->add("delivered " + std::to_string(delivery->event.offset));
    };
    callbacks.on_dropped = [](void* user, const sink_dropped* dropped) {
      std::string word = std::string("dropped, ") + sink_drop_reason_name(dropped->reason) + ":";
      for (size_t i = 0; i < dropped->count; ++i)
        word += " " + std::to_string(dropped->events[i].tag) +
                text(dropped->events[i].event.event_data);
      self(user)->add(word);
    };
    callbacks.on_link = [](void* user, const sink_link_change* change) {
      self(user)->add("link " + std::to_string(change->number) + (change->up ? " up" : " down"));
    };
    callbacks.on_kept = [](void* user, const uint64_t* tags, size_t count) {
      for (size_t i = 0; i < count; ++i) self(user)->add("kept " + std::to_string(tags[i]));
    };
    callbacks.on_session_not_kept = [](void* user, sink_bytes reason) {
      self(user)->add("not kept: " + text(reason));
    };
    callbacks.on_reply = [](void* user, const sink_reply* reply) {
      std::string word = "reply " + std::to_string(reply->tag) + ": " +
                         std::to_string(reply->code) + " " + text(reply->text);
      if (reply->code == SINK_REPLY_TRIMMED) word += " " + std::to_string(reply->earliest);
      for (size_t i = 0; reply->page != nullptr && i < reply->page->events_count; ++i) {
        const sink_paged_event& paged = reply->page->events[i];
        word += "[" + std::to_string(paged.position) + " " + text(paged.source) + " " +
                text(paged.event.key) + "/" + std::to_string(paged.event.offset) + "]";
      }
      for (size_t i = 0; reply->page != nullptr && i < reply->page->missing_count; ++i)
        word += "[missing " + std::to_string(reply->page->missing[i].first) + "-" +
                std::to_string(reply->page->missing[i].end) + " " +
                std::to_string(reply->page->missing[i].reason) + "]";
      for (size_t i = 0; reply->found != nullptr && i < reply->found->count; ++i) {
        const sink_found_service& service = reply->found->services[i];
        word += "[" + text(service.name) + " " + std::to_string(service.uuid.bytes[15]) + " " +
                text(service.owner) + " " + text(service.metadata) + " " +
                std::to_string(service.is_public) + " " + std::to_string(service.expires_in_ms) +
                "]";
      }
      if (reply->found != nullptr) word += " and " + std::to_string(reply->found->left_out);
      if (reply->page != nullptr) word += " up to " + std::to_string(reply->page->position);
      self(user)->add(word);
    };
    callbacks.on_service = [](void* user, const sink_service_notice* notice) {
      self(user)->add("service " + text(notice->name) + " " + std::to_string(notice->change) + " " +
                      (notice->uuid != nullptr ? std::to_string(notice->uuid->bytes[0]) : "-") +
                      " " + std::to_string(notice->code) + " " + text(notice->text));
    };
    callbacks.on_room = [](void* user) { self(user)->add("room"); };
    callbacks.on_closed = [](void* user) { self(user)->add("over"); };
  }
  static Heard* self(void* user) { return static_cast<Heard*>(user); }

  void add(const std::string& word) {
    {
      const std::lock_guard lock(mutex);
      words.push_back(word);
      changed.notify_all();
    }
    if (when_told) when_told(word);
  }
  bool has(const std::string& word) const {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
  void wait_for(const std::string& word) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return has(word); });
  }

  sink_callbacks callbacks;
  std::vector<std::string> words;
  std::vector<sink_delivery_id> ids;
  std::function<void(const std::string&)> when_told;
  std::mutex mutex;
  std::condition_variable changed;
};

}  // namespace sink::test
