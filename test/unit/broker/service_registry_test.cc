#include "daemon/broker/service_registry.h"

#include <doctest/doctest.h>

using namespace sink::broker;
using sink::protocol::parse_service_name;
using sink::protocol::Uuid;

namespace {

Uuid uuid(uint8_t number) { return {number}; }

Service service(uint8_t number, const char* name, ClientNumber owner) {
  Service made;
  made.uuid = uuid(number);
  made.owner = owner;
  made.name = *parse_service_name(name);
  return made;
}

std::string text(const std::vector<Service*>& services) {
  std::string all;
  for (const Service* each : services) all += (all.empty() ? "" : " ") + to_text(each->name);
  return all;
}

}  // namespace

TEST_CASE("service registry: found by uuid and by full name; versions in the order of numbers") {
  ServiceRegistry registry;
  registry.add(service(1, "a.b@1.10.0", 7));
  registry.add(service(2, "a.b@1.9.0", 7));
  registry.add(service(3, "a.b@0.1.0", 8));
  registry.add(service(4, "a.b.c@5.0.0", 8));
  registry.add(service(5, "a.a@9.0.0", 9));
  CHECK(registry.find(uuid(3))->owner == 8);
  CHECK(registry.find(uuid(6)) == nullptr);
  CHECK(registry.find(*parse_service_name("a.b@1.9.0"))->uuid == uuid(2));
  CHECK(registry.find(*parse_service_name("a.b@1.9.1")) == nullptr);
  CHECK(text(registry.versions_of("a.b")) == "a.b@1.10.0 a.b@1.9.0 a.b@0.1.0");
  CHECK(text(registry.versions_of("a")) == "");
  CHECK(text(registry.of(8)) == "a.b@0.1.0 a.b.c@5.0.0");
  CHECK(registry.count_of(7) == 2);
}

TEST_CASE("service registry: pages go on behind a name, whether it is still there or not") {
  ServiceRegistry registry;
  registry.add(service(1, "a.b@1.0.0", 7));
  registry.add(service(2, "a.b@2.0.0", 7));
  registry.add(service(3, "a.c@1.0.0", 8));
  CHECK(text(registry.page({}, 2)) == "a.b@1.0.0 a.b@2.0.0");
  CHECK(text(registry.page(*parse_service_name("a.b@1.5.0"), 9)) == "a.b@2.0.0 a.c@1.0.0");
  CHECK(text(registry.page(*parse_service_name("a.c@1.0.0"), 9)) == "");
}

TEST_CASE("service registry: whatever has the uuid or the name of another takes its place") {
  ServiceRegistry registry;
  registry.add(service(1, "a.b@1.0.0", 7));
  registry.add(service(2, "a.b@1.0.0", 8));
  CHECK(registry.size() == 1);
  CHECK(registry.find(uuid(1)) == nullptr);
  CHECK(registry.count_of(7) == 0);
  registry.add(service(2, "a.c@1.0.0", 9));
  CHECK(registry.size() == 1);
  CHECK(registry.find(*parse_service_name("a.b@1.0.0")) == nullptr);
  CHECK(registry.count_of(9) == 1);
  registry.remove_of(9);
  CHECK(registry.size() == 0);
  CHECK(registry.first_to_lapse() == nullptr);
  registry.remove(uuid(2));  // it is gone
  CHECK(registry.count_of(9) == 0);
}

TEST_CASE("service registry: the first to lapse is the one whose lease ends first") {
  ServiceRegistry registry;
  Service& first = registry.add(service(1, "a.b@1.0.0", 7));
  Service& second = registry.add(service(2, "a.c@1.0.0", 7));
  registry.set_expiry(first, 500);
  registry.set_expiry(second, 400);
  CHECK(registry.first_to_lapse() == &second);
  registry.set_expiry(second, 600);
  CHECK(registry.first_to_lapse() == &first);
  registry.remove(uuid(1));
  CHECK(registry.first_to_lapse() == &second);
}
