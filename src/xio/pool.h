// RequestPool: requests of one kind, allocated whole at start, so that making children never allocates. What to do when
// it is empty is the owner's: wait in a Line, or answer busy.
#pragma once

#include <concepts>
#include <memory>
#include <vector>

#include "xio/request.h"

namespace mars::xio {

// Child derives from Request.
template <std::derived_from<Request> Child>
class RequestPool {
 public:
  explicit RequestPool(size_t count) : count_(count), children_(std::make_unique<Child[]>(count)) {
    free_.reserve(count);
    for (size_t i = count; i > 0; --i) free_.push_back(&children_[i - 1]);
  }
  // Every child is back.
  ~RequestPool() { CHECK(free_.size() == count_); }

  // Null when all are in use. The one that was given back last, so that what a child keeps is kept by as few as are
  // ever in use at once. The fields are what they were: prepare() it.
  Child* try_take() {
    if (free_.empty()) return nullptr;
    Child* child = free_.back();
    free_.pop_back();
    return child;
  }
  // Its supplied buffer was put.
  void give_back(Child& child) {
    CHECK(child.supplier == nullptr);
    CHECK(&child >= children_.get() && &child < children_.get() + count_ && free_.size() < count_);
    free_.push_back(&child);
  }
  size_t size() const { return count_; }
  size_t free() const { return free_.size(); }

 private:
  const size_t count_;
  std::unique_ptr<Child[]> children_;
  std::vector<Child*> free_;
};

}  // namespace mars::xio
