// PendingRuns against a set of positions, under any row of operations.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <set>

#include "daemon/broker/pending_runs.h"
#include "protocol/bytes.h"

using namespace sink::broker;

namespace {

enum class Deed : uint8_t { push, pop, remove, insert, recode };

struct Operation {
  Deed deed = Deed::push;
  uint8_t a = 0, b = 0;
};

std::ostream& operator<<(std::ostream& out, const Operation& operation) {
  return out << "deed " << static_cast<int>(operation.deed) << " ("
             << static_cast<int>(operation.a) << ", " << static_cast<int>(operation.b) << ")";
}

rc::Gen<Operation> any_operation() {
  const auto deed = rc::gen::weightedElement<Deed>(
      {{4, Deed::push}, {1, Deed::pop}, {2, Deed::remove}, {2, Deed::insert}, {1, Deed::recode}});
  return rc::gen::build<Operation>(rc::gen::set(&Operation::deed, deed),
                                   rc::gen::set(&Operation::a, rc::gen::arbitrary<uint8_t>()),
                                   rc::gen::set(&Operation::b, rc::gen::arbitrary<uint8_t>()));
}

std::string encoded(const PendingRuns& runs) {
  std::string chunk;
  runs.append_encoded(chunk);
  sink::protocol::Cursor cursor(chunk);
  std::string_view inner;
  RC_ASSERT(cursor.chunk(inner));
  return std::string(inner);
}

struct Both {
  PendingRuns runs;
  std::set<Position> model;
  Position next = 1;  // above everything

  void apply(const Operation& operation) {
    const Position somewhere = operation.a * next / 256;
    switch (operation.deed) {
      case Deed::push: {
        next += operation.a % 4 == 0 ? operation.a : 0;
        const Position end = next + 1 + operation.b % 64;
        runs.push_back_run(next, end);
        for (; next < end; ++next) model.insert(next);
        return;
      }
      case Deed::pop:
        if (model.empty()) return;
        RC_ASSERT(runs.front() == *model.begin());
        runs.pop_front();
        model.erase(model.begin());
        return;
      case Deed::remove: {
        const auto first = model.lower_bound(somewhere);
        const auto end = model.lower_bound(somewhere + operation.b);
        const auto count = static_cast<uint64_t>(std::distance(first, end));
        model.erase(first, end);
        RC_ASSERT(runs.remove_range(somewhere, somewhere + operation.b) == count);
        return;
      }
      case Deed::insert:
        RC_ASSERT(runs.contains(somewhere) == (model.count(somewhere) == 1));
        if (model.insert(somewhere).second) runs.insert(somewhere);
        return;
      case Deed::recode: {
        PendingRuns copy;
        RC_ASSERT(copy.decode(encoded(runs)));
        runs = std::move(copy);
        return;
      }
    }
  }

  void compare() const {
    std::vector<Position> found;
    runs.collect(0, UINT64_MAX, found);
    RC_ASSERT(found == std::vector<Position>(model.begin(), model.end()));
    RC_ASSERT(runs.size() == model.size());
    Position last_end = 0;
    runs.for_each_run([&](Position first, Position end) {
      RC_ASSERT(first < end);
      RC_ASSERT((first >= last_end));
      last_end = end;
    });
  }
};

}  // namespace

TEST_CASE("pending runs: any row of operations leaves what a set would hold") {
  CHECK(rc::check([] {
    Both both;
    const auto operations = *rc::gen::container<std::vector<Operation>>(any_operation());
    for (const Operation& operation : operations) {
      both.apply(operation);
      both.compare();
    }
  }));
}

TEST_CASE("pending runs: any bytes are refused or are ascending positions that survive encoding") {
  CHECK(rc::check([](const std::vector<uint8_t>& bytes) {
    PendingRuns runs;
    if (!runs.decode({reinterpret_cast<const char*>(bytes.data()), bytes.size()})) return;
    PendingRuns again;
    RC_ASSERT(again.decode(encoded(runs)));
    RC_ASSERT(again.size() == runs.size());
    Position last_end = 0;
    runs.for_each_run([&](Position first, Position end) {
      RC_ASSERT(first < end);
      RC_ASSERT((first >= last_end));
      last_end = end;
    });
  }));
}
