// One sinkctl after the other against a scripted daemon, and the daemon's usual answers: what is
// asked, what is printed, and with which exit status it ends. No socket.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tools/sinkctl/command_tree.h"

namespace sink::tools {

using nlohmann::json;

// One sinkctl process after the other, with the answers of the daemon given in advance.
struct Shell {
  std::deque<tl::expected<admin::Reply, Problem>> answers;
  std::vector<admin::Command> asked;
  std::string typed;
  bool at_terminal = false;
  std::string out;
  std::string err;

  int run(const std::vector<std::string>& arguments) {
    std::istringstream in_stream(typed);
    std::ostringstream out_stream;
    std::ostringstream err_stream;
    Context context{
        .options = {},
        .terminal = {.input = at_terminal, .output = at_terminal, .errors = at_terminal},
        .in = in_stream,
        .out = out_stream,
        .err = err_stream,
        .ask = [this](const admin::Command& command) { return answer(command); },
        .now_ms = [] { return uint64_t{1'767'225'600'000}; }};
    const int status = run_sinkctl(context, arguments);
    out = out_stream.str();
    err = err_stream.str();
    return status;
  }

  tl::expected<admin::Reply, Problem> answer(const admin::Command& command) {
    asked.push_back(command);
    if (answers.empty()) {
      return tl::unexpected(Problem{ExitStatus::unavailable, "no daemon", "start one"});
    }
    auto next = std::move(answers.front());
    answers.pop_front();
    return next;
  }

  // Each line of out as JSON.
  std::vector<json> lines() const {
    std::vector<json> parsed;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) parsed.push_back(json::parse(line));
    return parsed;
  }
};

inline std::set<std::string> names_of(const json& object) {
  std::set<std::string> names;
  for (const auto& item : object.items()) names.insert(item.key());
  return names;
}

inline void check_has(const json& object, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(object.contains(name));
  }
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline admin::Reply reply_with(admin::Outcome outcome, const std::string& message = "said so") {
  admin::Reply reply;
  reply.outcome = outcome;
  reply.message = message;
  reply.hint = "do this next";
  return reply;
}

inline admin::Status healthy() {
  admin::Status status;
  status.name = "gateway-7";
  status.version = "0.1.0";
  status.instance_id = 1234;
  status.ready = true;
  status.connections = 3;
  status.store.bytes = 1'536;
  status.store.bytes_max = 8ULL << 30;
  return status;
}

inline admin::Reply status_reply(const admin::Status& status) {
  admin::Reply reply;
  reply.status = status;
  return reply;
}

inline admin::EventRow event_at(uint64_t position, const std::string& subscription = "readings",
                         const std::string& consumer = "backend") {
  admin::EventRow event;
  event.position = position;
  event.subscription = subscription;
  event.consumer = consumer;
  event.source = "meter-1";
  event.event_type_id = 7;
  event.key = "k\xff";
  event.machine = std::string("\x01\xab", 2);
  event.human = "no such meter";
  event.since_ms = 1'767'225'600'250;
  event.attempts = 5;
  return event;
}

inline admin::Reply events_reply(std::vector<admin::EventRow> events, const std::string& next = "") {
  admin::Reply reply;
  reply.events = std::move(events);
  reply.next = next;
  return reply;
}

// A directory of this test, not there yet; gone afterwards.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("sinkctl-test-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace sink::tools
