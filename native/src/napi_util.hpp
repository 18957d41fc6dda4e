// Layer native. Small helpers over Node-API: checked arguments, one JavaScript error with syscall, errno and code.
// No policy here; nothing in this folder keeps an environment in a static.
#pragma once

#include <node_api.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace nodeplane {

/// Owner of one file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Repeats a system call that a signal interrupted. The caller reads errno before any other call.
template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Throws `Error("syscall CODE: text")` with the properties syscall, errno (positive) and code.
inline napi_value throw_errno(napi_env env, const char* syscall, int error) {
  const char* name = strerrorname_np(error);
  const std::string code = name == nullptr ? "E" + std::to_string(error) : name;
  const std::string text = std::string(syscall) + " " + code + ": " + strerrordesc_np(error);
  napi_value message = nullptr;
  napi_value code_value = nullptr;
  napi_value syscall_value = nullptr;
  napi_value errno_value = nullptr;
  napi_value thrown = nullptr;
  napi_create_string_utf8(env, text.c_str(), text.size(), &message);
  napi_create_string_utf8(env, code.c_str(), code.size(), &code_value);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &syscall_value);
  napi_create_int32(env, error, &errno_value);
  napi_create_error(env, code_value, message, &thrown);
  napi_set_named_property(env, thrown, "syscall", syscall_value);
  napi_set_named_property(env, thrown, "errno", errno_value);
  napi_throw(env, thrown);
  return nullptr;
}

inline napi_value throw_type(napi_env env, const char* message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return nullptr;
}

/// The arguments of a call, absent ones are undefined.
template <std::size_t Count>
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    std::size_t count = Count;
    napi_get_cb_info(env, info, &count, values_.data(), nullptr, nullptr);
  }
  [[nodiscard]] napi_value at(std::size_t index) const { return values_[index]; }
  [[nodiscard]] bool number(std::size_t index, std::int64_t& out) const {
    return napi_get_value_int64(env_, values_[index], &out) == napi_ok;
  }
  /// The bytes of a Uint8Array, valid until JavaScript runs again.
  [[nodiscard]] bool bytes(std::size_t index, std::span<std::uint8_t>& out) const {
    bool typed = false;
    if (napi_is_typedarray(env_, values_[index], &typed) != napi_ok || !typed) return false;
    napi_typedarray_type type{};
    std::size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env_, values_[index], &type, &length, &data, nullptr, nullptr) != napi_ok) {
      return false;
    }
    if (type != napi_uint8_array) return false;
    out = {static_cast<std::uint8_t*>(data), length};
    return true;
  }
  /// Text of at most 4096 bytes.
  [[nodiscard]] bool text(std::size_t index, std::string& out) const {
    std::array<char, 4097> buffer{};
    std::size_t length = 0;
    if (napi_get_value_string_utf8(env_, values_[index], buffer.data(), buffer.size(), &length) != napi_ok) {
      return false;
    }
    out.assign(buffer.data(), length);
    return true;
  }
  template <typename T>
  [[nodiscard]] T* external(std::size_t index, const napi_type_tag& tag) const {
    bool tagged = false;
    if (napi_check_object_type_tag(env_, values_[index], &tag, &tagged) != napi_ok || !tagged) return nullptr;
    void* data = nullptr;
    if (napi_get_value_external(env_, values_[index], &data) != napi_ok) return nullptr;
    return static_cast<T*>(data);
  }

 private:
  napi_env env_;
  std::array<napi_value, Count> values_{};
};

/// A JavaScript value that owns `object` and frees it when collected.
template <typename T>
napi_value make_external(napi_env env, T* object, const napi_type_tag& tag) {
  napi_value value = nullptr;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_create_external(env, object, finalize, nullptr, &value) != napi_ok) {
    delete object;
    return nullptr;
  }
  napi_type_tag_object(env, value, &tag);
  return value;
}

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback);
void register_netlink(napi_env env, napi_value exports);
void register_netlink_watch(napi_env env, napi_value exports);
void register_notify(napi_env env, napi_value exports);
void register_dns_engine(napi_env env, napi_value exports);

/// Opens a bound netlink socket with large buffers and extended acknowledgements. On failure the descriptor is
/// invalid, `syscall` names the call and errno holds its error.
UniqueFd open_netlink(int protocol, int send_bytes, int receive_bytes, const char*& syscall);

}  // namespace nodeplane
