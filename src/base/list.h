// An intrusive doubly linked list: an element stands in at most one list per hook, linking never allocates, unlinking
// needs no list. The list owns nothing.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace mars {

// A member or base of the element. Unlinks itself when it dies.
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  bool is_linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T>
  friend class List;
  ListHook* next_ = nullptr;
  ListHook* previous_ = nullptr;
};

// T derives from ListHook.
template <class T>
class List {
 public:
  List() { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    while (!empty()) front().unlink();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() { return static_cast<T&>(*head_.next_); }
  T& back() { return static_cast<T&>(*head_.previous_); }
  void push_back(T& element) { insert(head_, element); }
  void push_front(T& element) { insert(*head_.next_, element); }

  // The first element, unlinked; null when empty.
  T* pop_front() {
    if (empty()) return nullptr;
    T& element = front();
    element.ListHook::unlink();
    return &element;
  }

  // The element behind, null at the end.
  T* after(T& element) {
    ListHook* next = static_cast<ListHook&>(element).next_;
    return next == &head_ ? nullptr : static_cast<T*>(next);
  }

  template <class F>
  size_t count_if(F&& f) const {
    size_t count = 0;
    for (const ListHook* hook = head_.next_; hook != &head_; hook = hook->next_) {
      if (f(static_cast<const T&>(*hook))) ++count;
    }
    return count;
  }

  // Calls f(element) for each; f may unlink the element that it is given, nothing else.
  template <class F>
  void for_each(F&& f) {
    ListHook* hook = head_.next_;
    while (hook != &head_) {
      ListHook* next = hook->next_;
      f(static_cast<T&>(*hook));
      hook = next;
    }
  }

 private:
  static void insert(ListHook& before, ListHook& element) {
    CHECK(!element.is_linked());
    element.next_ = &before;
    element.previous_ = before.previous_;
    before.previous_->next_ = &element;
    before.previous_ = &element;
  }

  mutable ListHook head_;
};

}  // namespace mars
