// Layer native. Doubly linked lists through members of what they hold: in and out without memory of their own.
#pragma once

namespace nodeplane::dns {

template <typename T>
struct Links {
  T* before = nullptr;
  T* behind = nullptr;
};

template <typename T, Links<T> T::*Member>
class List {
 public:
  [[nodiscard]] T* first() const { return first_; }
  void add(T& item) {
    (item.*Member) = {nullptr, first_};
    if (first_ != nullptr) (first_->*Member).before = &item;
    first_ = &item;
  }
  /// `item` is in this list.
  void remove(T& item) {
    auto& links = item.*Member;
    if (links.before != nullptr) {
      (links.before->*Member).behind = links.behind;
    } else {
      first_ = links.behind;
    }
    if (links.behind != nullptr) (links.behind->*Member).before = links.before;
    links = {};
  }

 private:
  T* first_ = nullptr;
};

}  // namespace nodeplane::dns
