// Outcomes. Expected failures travel as values: Status on the data path (an errno, nothing allocated), Result<T> on the
// control path (a stable code and a sentence for a person). A bug is an assertion, never one of these.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace cairn {

/// 0, or the positive errno of what went wrong.
class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  static constexpr Status from_errno(int error) { return Status(error); }
  /// From the kernel's convention: negative errno is a failure, anything else is success.
  static constexpr Status from_result(int64_t result) { return Status(result < 0 ? static_cast<int>(-result) : 0); }

  constexpr bool ok() const { return error_ == 0; }
  constexpr int error() const { return error_; }
  std::string message() const { return ok() ? "ok" : std::strerror(error_); }
  friend constexpr bool operator==(Status, Status) = default;

 private:
  explicit constexpr Status(int error) : error_(error) {}
  int error_ = 0;
};

/// A failure that a person reads. `code` is one of NativeErrorCode in src/engine/native.ts.
struct Error {
  std::string code;
  std::string message;
};

/// The name of an errno as a code: "EIO", "ENOSPC"; "EIO" for one without a name here.
std::string errno_code(int error);

/// An Error for a failed system call on `path`, e.g. "open /data/x: No such file or directory".
Error system_error(const std::string& action, const std::string& path, int error);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  T& value() {
    CAIRN_ASSERT(ok());
    return std::get<0>(state_);
  }
  const T& value() const {
    CAIRN_ASSERT(ok());
    return std::get<0>(state_);
  }
  const Error& error() const {
    CAIRN_ASSERT(!ok());
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

struct Unit {};

}  // namespace cairn
