// What pub, tap and bench run on, and the three commands themselves against a server on a thread.
#include <doctest/doctest.h>
#include <uv.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "server_thread.h"
#include "tools/device/beat.h"
#include "tools/device/latency_histogram.h"
#include "tools/device/offset_book.h"
#include "tools/device/vitals.h"
#include "tools/sinkctl/command_tree.h"

namespace {

using namespace sink;
using namespace sink::tools;
using test::ServerThread;
namespace fs = std::filesystem;

struct Folder {
  Folder() {
    char pattern[] = "/tmp/sink_device_XXXXXX";
    path = mkdtemp(pattern);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return path + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(file(name)).parent_path());
    std::ofstream(file(name)) << text;
  }
  std::string path;
};

struct Run {
  explicit Run(const std::vector<std::string>& arguments) {
    std::istringstream in;
    std::ostringstream out_stream, err_stream;
    Context context{.options = {},
                    .terminal = {},
                    .in = in,
                    .out = out_stream,
                    .err = err_stream,
                    .ask = nullptr,
                    .now_ms = [] { return uint64_t{0}; }};
    status = run_sinkctl(context, arguments);
    out = out_stream.str();
    err = err_stream.str();
  }
  int status = 0;
  std::string out, err;
};

}  // namespace

TEST_CASE("offset book: goes on where the last run ended") {
  const Folder folder;
  for (uint64_t run = 0; run < 3; ++run) {
    auto book = OffsetBook::open(folder.file("offsets")).value();
    CHECK(book.take(1, "a").value() == run * 2 + 1);
    CHECK(book.take(1, "a").value() == run * 2 + 2);
    CHECK(book.take(2, "a").value() == run + 1);
    REQUIRE(book.close().has_value());
  }
}

TEST_CASE("offset book: never answers an offset twice, even when a run was killed") {
  const Folder folder;
  uint64_t last = 0;
  for (int run = 0; run < 3; ++run) {
    auto book = OffsetBook::open(folder.file("offsets")).value();
    for (int i = 0; i < 2500; ++i) {
      const uint64_t next = book.take(1, std::string("\0key", 4)).value();
      CHECK(next > last);
      last = next;
    }
  }
  auto book = OffsetBook::open(folder.file("offsets")).value();
  REQUIRE(book.note(1, std::string("\0key", 4), 1'000'000).has_value());
  CHECK(book.take(1, std::string("\0key", 4)).value() == 1'000'001);
}

TEST_CASE("offset book: a damaged file is an error") {
  const Folder folder;
  folder.write("offsets", "1 k6 7\n");
  CHECK_FALSE(OffsetBook::open(folder.file("offsets")).has_value());
  CHECK(OffsetBook::open("").value().take(1, "k").value() > 1'600'000'000'000'000);
}

TEST_CASE("beat: never early, makes up for what was missed, and ends when it is stopped") {
  constexpr uint64_t kPeriodNs = 200'000;
  DeviceLoop loop;
  uint64_t beats = 0, calls = 0, longest = 0;
  Beat beat(loop, [&](uint64_t periods) {
    if (calls++ == 3)  // a busy loop: several periods pass before the next call
      for (const uint64_t until = now_ns() + 5 * kPeriodNs; now_ns() < until;) {
      }
    beats += periods;
    longest = std::max(longest, periods);
    if (beats >= 20) beat.stop();
  });
  const uint64_t start = now_ns();
  REQUIRE(beat.start(kPeriodNs));
  loop.run();  // returns: nothing is left on the loop
  CHECK(beats >= 20);
  CHECK(longest >= 5);
  CHECK(now_ns() - start >= beats * kPeriodNs);
}

TEST_CASE("latency histogram: percentiles are exact to a 64th") {
  LatencyHistogram histogram;
  CHECK(histogram.percentile(0.5) == 0);
  for (uint64_t ns = 1; ns <= 1'000'000; ++ns) histogram.record(ns);
  for (const double share : {0.001, 0.5, 0.99, 0.999}) {
    const auto exact = static_cast<uint64_t>(share * 1'000'000);
    CHECK(histogram.percentile(share) >= exact);
    CHECK(histogram.percentile(share) <= exact + exact / 64 + 1);
  }
  CHECK(histogram.percentile(1) == 1'000'000);
  histogram.record(UINT64_MAX);
  CHECK(histogram.percentile(1) == UINT64_MAX);
}

TEST_CASE("vitals: every counter of a small host, and nothing of what it lacks") {
  const Folder folder;
  folder.write("proc/loadavg", "0.50 0.25 0.10 1/200 1234\n");
  folder.write("proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n");
  folder.write("proc/net/dev",
               "Inter-| Receive | Transmit\n face |bytes packets\n"
               "  eth0: 10 2 0 0 0 0 0 0 30 4 1 0 0 0 0 0\n");
  folder.write("proc/diskstats",
               " 254 0 vda 5 0 16 7 3 0 8 9 0 0 0\n 254 1 vda1 5 0 16 7 3 0 8 9 0 0 0\n"
               " 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n");
  fs::create_directories(folder.file("sys/block/vda"));
  fs::create_directories(folder.file("sys/block/loop0"));
  const auto vitals = read_vitals(folder.file("proc"), folder.file("sys"));
  REQUIRE(vitals.size() == 4);
  const char* keys[] = {"load", "memory", "net/eth0", "disk/vda"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(vitals[i].event_type_id == i + 1);
    CHECK(vitals[i].key == keys[i]);
  }
  CHECK(nlohmann::json::parse(vitals[1].event_data)["available_bytes"] == 1024 * 1024);
  CHECK(nlohmann::json::parse(vitals[2].event_data)["sent_errors"] == 1);
  CHECK(nlohmann::json::parse(vitals[3].event_data)["read_bytes"] == 16 * 512);
  CHECK(read_vitals("/nowhere", "/nowhere").empty());
}

TEST_CASE("pub: publishes lines, goes on behind them in the next run, ends 0 when all were ACKed") {
  const Folder folder;
  folder.write("lines", "one\ntwo\nthree");
  std::string events;
  ServerThread server;
  const std::vector<std::string> line = {
      "pub",    "--server", server.address, "--plaintext", "--state", folder.file("state"),
      "--type", "7",        "--key",        "k",           "--file",  folder.file("lines"),
      "--lines"};
  const Run first(line);
  CHECK(first.status == 0);
  CHECK(first.out == "ACK k 1\nACK k 2\nACK k 3\n");
  auto again = line;
  again.insert(again.end(), {"--json", "--count", "1"});
  const Run second(again);
  CHECK(second.status == 0);
  CHECK(nlohmann::json::parse(second.out)["offset"] == 4);
  CHECK(server.join().offsets == std::vector<uint64_t>{1, 2, 3, 4});
}

TEST_CASE("pub: a NACK is shown with both messages and ends with 65") {
  ServerThread server([](test::FakeServer& fake) {
    fake.on_publish = [&fake](test::FakeServer::Peer& peer, const protocol::Publish& publish) {
      std::string out;
      protocol::append_nack(out, publish.message_id, "\x01\x02", "not today");
      fake.send(peer, out);
    };
  });
  const Run run({"pub", "--server", server.address, "--plaintext", "--type", "1", "--key", "k",
                 "--offset", "9", "--data", "x"});
  CHECK(run.status == 65);
  CHECK(run.out == "NACK k 9 0x0102 not today\n");
}

TEST_CASE("pub: vital signs stop after the wanted number of events") {
  ServerThread server;
  const Run run({"pub", "--server", server.address, "--plaintext", "--vitals", "--interval", "1ms",
                 "--count", "25"});
  CHECK(run.status == 0);
  CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 25);
}

TEST_CASE("pub: what is wrong with the line, the files or the server has its exit status") {
  const Folder folder;
  folder.write("damaged", "junk");
  folder.write("large", std::string(70'000, 'x'));
  ServerThread server;
  ServerThread refusing([](test::FakeServer& fake) {
    fake.refuse =
        protocol::ConnectionResponse{protocol::ResponseCode::quarantined, 0, "\x05", "come later"};
  });
  const std::vector<std::string> event = {"--type", "1", "--key", "k"};
  const std::pair<int, std::vector<std::string>> cases[] = {
      {64, {"pub", "--server", server.address, "--plaintext", "--data", "x"}},
      {64,
       {"pub", "--server", "nowhere", "--plaintext", "--type", "1", "--key", "k", "--data", ""}},
      {64, {"pub", "--server", server.address, "--type", "1", "--key", "k", "--data", "x"}},
      {64,
       {"pub", "--server", server.address, "--plaintext", "--type", "1", "--key", "k", "--data",
        "x", "--offset", "-1"}},
      {64,
       {"pub", "--server", server.address, "--plaintext", "--type", "1", "--key", "k", "--data-hex",
        "123"}},
      {65,
       {"pub", "--server", server.address, "--plaintext", "--type", "1", "--key", "k", "--data",
        "x", "--state", folder.file("damaged")}},
      {65,
       {"pub", "--server", server.address, "--plaintext", "--type", "1", "--key", "k", "--file",
        folder.file("large")}},
      {65,
       {"pub", "--server", server.address, "--cert", "/nowhere.pem", "--ca", "/nowhere.pem",
        "--type", "1", "--key", "k", "--data", "x"}},
      {69,
       {"pub", "--server", "127.0.0.1:1", "--plaintext", "--type", "1", "--key", "k", "--data",
        "x"}},
      {69,
       {"pub", "--server", refusing.address, "--plaintext", "--type", "1", "--key", "k", "--data",
        "x"}},
  };
  for (const auto& [status, line] : cases) {
    const Run run(line);
    CHECK_MESSAGE(run.status == status, run.err);
    CHECK(run.out.empty());
    CHECK_FALSE(run.err.empty());
    if (line[2] == refusing.address) {
      CHECK(run.err.find("0x05") != std::string::npos);
      CHECK(run.err.find("come later") != std::string::npos);
    }
  }
}

TEST_CASE("tap: prints, then answers, and ends after the wanted number") {
  const auto deliver_on_publish = [](test::FakeServer& fake) {
    fake.on_publish = [&fake](test::FakeServer::Peer&, const protocol::Publish&) {};
    fake.on_connected = [&fake](test::FakeServer::Peer& peer) {
      for (uint16_t i = 0; i < 5; ++i) fake.deliver(peer, i, 100 + i);
    };
  };
  SUBCASE("ACKs") {
    ServerThread server(deliver_on_publish);
    const Run run({"tap", "--server", server.address, "--plaintext", "--count", "3", "--json"});
    CHECK(run.status == 0);
    CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 3);
    const auto first = nlohmann::json::parse(run.out.substr(0, run.out.find('\n')));
    CHECK(first["event_data"] == "to you");
    CHECK(first["event_data_hex"] == "746f20796f75");
    CHECK(first["offset"] == 100);
    CHECK(server.join().acks == std::vector<uint16_t>{0, 1, 2});
  }
  SUBCASE("NACKs") {
    ServerThread server(deliver_on_publish);
    const Run run({"tap", "--server", server.address, "--plaintext", "--count", "2", "--nack", "6d",
                   "--human", "no"});
    CHECK(run.status == 0);
    CHECK(server.join().nacks == std::vector<std::string>{"m/no", "m/no"});
  }
  SUBCASE("leaves alone, and ends when nothing comes") {
    ServerThread server(deliver_on_publish);
    const Run run(
        {"tap", "--server", server.address, "--plaintext", "--no-answer", "--idle-exit", "50ms"});
    CHECK(run.status == 0);
    CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 5);
    CHECK(server.join().acks.empty());
  }
}

TEST_CASE("bench: accepts, idles, and says what it measured") {
  ServerThread server;
  const Run accept({"bench", "--server", server.address, "--plaintext", "--connections", "1",
                    "--events", "2000", "--size", "8"});
  CHECK(accept.status == 0);
  const auto result = nlohmann::json::parse(accept.out);
  CHECK(result["acked"] == 2000);
  CHECK(result["acked_per_second"] > 0);
  CHECK(result["ack_latency_us"]["p99.9"] >= result["ack_latency_us"]["p50"]);
  CHECK(Run({"bench", "--server", server.address, "--plaintext", "--certs", "x"}).status == 64);
  CHECK(Run({"bench", "--server", server.address, "--certs", "/nowhere"}).status == 65);
  CHECK(Run({"bench", "--server", "127.0.0.1:1", "--plaintext"}).status == 69);
  ServerThread other;
  CHECK(Run({"bench", "--server", other.address, "--plaintext", "--mode", "idle", "--connections",
             "1", "--seconds", "0"})
            .status == 0);
}
