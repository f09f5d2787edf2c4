// What needs no daemon: config check, pki.
#include <fstream>

#include "test/unit/sinkctl/shell.h"

namespace sink::tools {

TEST_CASE("sinkctl: config check tells every mistake and ends with 78") {
  const auto path = std::filesystem::temp_directory_path() /
                    ("sinkctl-test-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(path) << "[server]\nnmae = \"x\"\n[store]\nsync = \"sometimes\"\n";
  Shell shell;
  CHECK(shell.run({"config", "check", path.string(), "--json"}) == 78);
  const json result = shell.lines().at(0);
  CHECK(result["ok"] == false);
  REQUIRE(result["errors"].size() == 2);
  CHECK(result["errors"][0]["line"] == 2);
  CHECK(result["errors"][1]["line"] == 4);
  CHECK(shell.run({"config", "check", path.string()}) == 78);
  CHECK(contains(shell.err, ":2:"));
  CHECK(contains(shell.err, ":4:"));
  std::filesystem::remove(path);
}

TEST_CASE("sinkctl: pki init, issue and revoke make a CA that works without a daemon") {
  const auto directory =
      std::filesystem::temp_directory_path() / ("sinkctl-test-pki-" + std::to_string(::getpid()));
  std::filesystem::remove_all(directory);
  const std::string dir = directory.string();
  Shell shell;
  CHECK(shell.run({"pki", "issue", "early", "--dir", dir}) == 69);
  CHECK(shell.run({"pki", "init", "--dir", dir, "--json"}) == 0);
  CHECK(shell.lines().at(0)["certificate"] == dir + "/ca.pem");
  CHECK(shell.run({"pki", "init", "--dir", dir}) == 65);
  CHECK(shell.run({"pki", "issue", "gateway", "--kind", "server", "--dns", "localhost", "--ip",
                   "127.0.0.1", "--dir", dir, "--json"}) == 0);
  CHECK(std::filesystem::exists(shell.lines().at(0)["private_key"].get<std::string>()));
  CHECK(shell.run({"pki", "revoke", dir + "/gateway.pem", "--dir", dir}) == 0);
  CHECK(shell.run({"pki", "issue", "x", "--kind", "queen", "--dir", dir}) == 64);
  std::filesystem::remove_all(directory);
}

}  // namespace sink::tools
