// Layer native. The module's export table; kept in step with addon.d.ts by test/unit/addon.test.ts.
#include "napi_util.hpp"

namespace nodeplane {

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace nodeplane

NAPI_MODULE_INIT() {
  nodeplane::register_netlink(env, exports);
  nodeplane::register_netlink_watch(env, exports);
  nodeplane::register_notify(env, exports);
  nodeplane::register_dns_engine(env, exports);
  return exports;
}
