{
  "targets": [
    {
      "target_name": "cairn",
      "sources": ["<!@(node scripts/list-native-sources.mjs library addon)"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17"],
      "cflags": ["-fvisibility=hidden", "-fstack-protector-strong"],
      "cflags_cc": ["-std=gnu++20", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
      "ldflags": ["-Wl,-z,nodelete"],  # reactor threads outlive a worker of Node, which unloads the addon when it ends
      "libraries": ["-luring", "-lisal", "-lcryptsetup", "-lpthread"],
      "conditions": [["target_arch=='x64'", { "cflags": ["-march=x86-64-v2"] }]]
    }
  ]
}
