#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "iscsi/login/session_parameters.h"
#include "iscsi/wire.h"

namespace cairn::iscsi {

struct FirstRequest {
  std::string target_name;
  bool discovery = false;
};
FirstRequest peek(const wire::LoginRequest& request, std::span<const std::byte> text);

class Login {
 public:
  enum class Outcome : uint8_t { go_on, full_feature, failed };
  struct Reply {
    wire::LoginResponse header{};
    std::string text;
    Outcome outcome = Outcome::go_on;
  };
  explicit Login(bool found) : found_(found) {}
  Reply handle(const wire::LoginRequest& request, std::span<const std::byte> text);
  SessionParameters& parameters() { return parameters_; }

 private:
  bool found_;
  bool declared_ = false;
  SessionParameters parameters_;
};

}  // namespace cairn::iscsi
