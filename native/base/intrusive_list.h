// A doubly linked list whose links live in its elements: insertion and removal allocate nothing and cannot fail.
#pragma once

#include "base/assert.h"

namespace cairn {

/// Base of an element. It must have left its list before it is destroyed.
struct ListLink {
  ListLink* previous = nullptr;
  ListLink* next = nullptr;

  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { CAIRN_ASSERT(!linked()); }

  bool linked() const { return next != nullptr; }
  void unlink() {
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
};

/// `T` derives from ListLink.
template <typename T>
class IntrusiveList {
 public:
  IntrusiveList() { root_.previous = root_.next = &root_; }
  ~IntrusiveList() {
    CAIRN_ASSERT(empty());
    root_.previous = root_.next = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return root_.next == &root_; }
  void push_back(T* element) {
    ListLink* link = element;
    CAIRN_ASSERT(!link->linked());
    link->previous = root_.previous;
    link->next = &root_;
    root_.previous->next = link;
    root_.previous = link;
  }
  void push_front(T* element) {
    ListLink* link = element;
    CAIRN_ASSERT(!link->linked());
    link->previous = &root_;
    link->next = root_.next;
    root_.next->previous = link;
    root_.next = link;
  }
  /// Moves all of `other` to the end of this list.
  void append(IntrusiveList& other) {
    while (T* element = other.pop_front()) push_back(element);
  }
  T* front() { return empty() ? nullptr : static_cast<T*>(root_.next); }
  T* pop_front() {
    T* element = front();
    if (element != nullptr) element->ListLink::unlink();
    return element;
  }
  /// Walks in order; `visit` may unlink the element it is given, and only that one.
  template <typename Visit>
  void for_each(Visit visit) {
    for (ListLink* link = root_.next; link != &root_;) {
      ListLink* next = link->next;
      visit(static_cast<T*>(link));
      link = next;
    }
  }
  /// The first element for which `test` holds, or null.
  template <typename Test>
  T* find(Test test) const {
    for (ListLink* link = root_.next; link != &root_; link = link->next)
      if (test(static_cast<T*>(link))) return static_cast<T*>(link);
    return nullptr;
  }

 private:
  ListLink root_;
};

}  // namespace cairn
