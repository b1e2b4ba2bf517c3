// A shared library opened when it is first needed: cuBLASLt and NCCL take a tenth of a second and 200 MB to load, which no simulation needs.
// Used by device/cuda_* and comm/nccl_*, which fill a table of functions from it.
// Does not search: it tries the folder of the build, then the system's own way.
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
        if (!folder.empty()) handle_.reset(::dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL));
        if (!handle_) handle_.reset(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
        if (!handle_) throw EnvironmentError(name + " cannot be loaded: " + ::dlerror());
    }
    /// Sets `function` to the symbol `name`. EnvironmentError where the library has none: it is older than the build.
    template <class Function>
    void find(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
        if (function == nullptr) throw EnvironmentError(std::string("a library has no ") + name + ": it is older than this build");
    }

private:
    struct Close {
        void operator()(void* handle) const noexcept { ::dlclose(handle); }
    };
    std::unique_ptr<void, Close> handle_;
};

}  // namespace zerosim
