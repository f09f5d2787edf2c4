// Things by their number, which are given out one after the other and never again; 0 is none. To
// find one costs little more than an index; memory follows what is there, not the highest number:
// a number may be as far off as a record claims, and what was removed leaves nothing behind.
// Iteration is in the order of the numbers. Not responsible for what a number means.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

namespace sink::broker {

template <class T>
class Numbered {
  static constexpr uint32_t kPageSlots = 64;
  struct Page {
    std::array<std::unique_ptr<T>, kPageSlots> slots;
    uint32_t held = 0;  // never 0: the page would be gone
  };
  using Pages = std::map<uint32_t, Page>;

 public:
  using Number = uint32_t;

  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    Iterator(typename Pages::const_iterator page, typename Pages::const_iterator end, uint32_t slot)
        : page_(page), end_(end), slot_(slot) {
      skip_free();
    }
    T& operator*() const { return *page_->second.slots[slot_]; }
    Iterator& operator++() {
      ++slot_;
      skip_free();
      return *this;
    }
    bool operator==(const Iterator& other) const {
      return page_ == other.page_ && slot_ == other.slot_;
    }

   private:
    void skip_free() {
      while (page_ != end_) {
        while (slot_ < kPageSlots && !page_->second.slots[slot_]) ++slot_;
        if (slot_ < kPageSlots) return;
        ++page_;
        slot_ = 0;
      }
    }

    typename Pages::const_iterator page_, end_;
    uint32_t slot_;
  };

  T* find(Number number) const {
    const auto page = pages_.find(number / kPageSlots);
    return page == pages_.end() ? nullptr : page->second.slots[number % kPageSlots].get();
  }
  // The number is used up by it; what had it before is gone.
  T& put(Number number, std::unique_ptr<T> thing) {
    use_up(number);
    Page& page = pages_[number / kPageSlots];
    auto& slot = page.slots[number % kPageSlots];
    if (!slot) ++page.held;
    slot = std::move(thing);
    return *slot;
  }
  void erase(Number number) {
    const auto page = pages_.find(number / kPageSlots);
    if (page == pages_.end() || !page->second.slots[number % kPageSlots]) return;
    page->second.slots[number % kPageSlots].reset();
    if (--page->second.held == 0) pages_.erase(page);
  }

  // The next number to give out: above each that was used up.
  Number next() const { return next_; }
  void use_up(Number number) {
    if (number >= next_) next_ = number + 1;
  }

  Iterator begin() const { return {pages_.begin(), pages_.end(), 0}; }
  Iterator end() const { return {pages_.end(), pages_.end(), 0}; }
  // The first with this number or a higher one.
  Iterator from(Number number) const {
    const auto page = pages_.lower_bound(number / kPageSlots);
    const bool same = page != pages_.end() && page->first == number / kPageSlots;
    return {page, pages_.end(), same ? number % kPageSlots : 0};
  }

 private:
  Pages pages_;
  Number next_ = 1;
};

}  // namespace sink::broker
