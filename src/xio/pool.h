// RequestPool: requests of one kind, allocated whole at start, so that making children never allocates. What to do when
// it is empty is the owner's: wait in a Line, or answer busy.
#pragma once

#include <concepts>
#include <memory>

#include "xio/request.h"

namespace mars::xio {

// Child derives from Request.
template <std::derived_from<Request> Child>
class RequestPool {
 public:
  explicit RequestPool(size_t count) : count_(count), children_(std::make_unique<Child[]>(count)) {
    for (size_t i = 0; i < count; ++i) free_.push(children_[i]);
  }
  // Every child is back.
  ~RequestPool() { CHECK(free_.size() == count_); }

  // Null when all are in use. The fields are what they were: prepare() it.
  Child* try_take() { return static_cast<Child*>(free_.pop()); }
  // Its supplied buffer was put.
  void give_back(Child& child) {
    CHECK(child.supplier == nullptr);
    CHECK(&child >= children_.get() && &child < children_.get() + count_ && free_.size() < count_);
    free_.push(child);
  }
  size_t size() const { return count_; }
  size_t free() const { return free_.size(); }

 private:
  const size_t count_;
  std::unique_ptr<Child[]> children_;
  Line free_;
};

}  // namespace mars::xio
