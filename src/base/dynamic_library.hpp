// A shared library opened when it is first needed: cuBLASLt and NCCL take a tenth of a second and 200 MB to load, which no simulation needs.
// Used by device/cuda_*, device/nvml and comm/nccl_*, which fill a table of functions from it.
// Does not search: it tries the folder of the build, then the system's own way. Does not unload: NCCL's threads run on after the call that
// started them (the one that waits for ranks at an id's address, those of communicators being destroyed), in the library's code.
#pragma once

#include "base/error.hpp"

#include <dlfcn.h>

#include <memory>
#include <string>

namespace zerosim {

class DynamicLibrary {
public:
    /// `folder` may be "". EnvironmentError with the loader's words.
    DynamicLibrary(const std::string& folder, const std::string& name) {
        constexpr int kFlags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
        if (!folder.empty()) handle_.reset(::dlopen((folder + "/" + name).c_str(), kFlags));
        if (!handle_) handle_.reset(::dlopen(name.c_str(), kFlags));
        if (!handle_) throw EnvironmentError(name + " cannot be loaded: " + ::dlerror());
    }
    /// Sets `function` to the symbol `name`. EnvironmentError where the library has none: it is older than the build.
    template <class Function>
    void find(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
        if (function == nullptr) throw EnvironmentError(std::string("a library has no ") + name + ": it is older than this build");
    }

    /// Null where the library has none.
    template <class Function>
    void find_optional(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
    }

private:
    struct Close {
        void operator()(void* handle) const noexcept { ::dlclose(handle); }
    };
    std::unique_ptr<void, Close> handle_;
};

}  // namespace zerosim
