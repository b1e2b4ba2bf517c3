// A function object that keeps what it captures in place, for nodes: std::function keeps 16 bytes and allocates the rest.
// Used by node.hpp. Is not copied or moved: a node stays where it is.
// Holds one lambda at a time.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace zerosim::strategy::torch {

template <class Signature, std::size_t Room>
class Closure;

template <class Result, class... Arguments, std::size_t Room>
class Closure<Result(Arguments...), Room> {
public:
    Closure() = default;
    Closure(const Closure&) = delete;
    Closure& operator=(const Closure&) = delete;
    ~Closure() { reset(); }

    template <class Lambda>
    Closure& operator=(Lambda lambda) {
        reset();
        if constexpr (sizeof(Lambda) <= Room) {
            new (room_.data()) Lambda(std::move(lambda));
            call_ = [](void* room, Arguments... arguments) -> Result { return (*static_cast<Lambda*>(room))(std::forward<Arguments>(arguments)...); };
            if constexpr (!std::is_trivially_destructible_v<Lambda>) destroy_ = [](void* room) { std::destroy_at(static_cast<Lambda*>(room)); };
        } else {
            *this = [kept = std::make_unique<Lambda>(std::move(lambda))](Arguments... arguments) -> Result {
                return (*kept)(std::forward<Arguments>(arguments)...);
            };
        }
        return *this;
    }
    [[nodiscard]] explicit operator bool() const { return call_ != nullptr; }
    Result operator()(Arguments... arguments) { return call_(room_.data(), std::forward<Arguments>(arguments)...); }

private:
    void reset() {
        if (destroy_ != nullptr) destroy_(room_.data());
        call_ = nullptr;
        destroy_ = nullptr;
    }
    alignas(std::max_align_t) std::array<std::byte, Room> room_;
    Result (*call_)(void*, Arguments...) = nullptr;
    void (*destroy_)(void*) = nullptr;
};

}  // namespace zerosim::strategy::torch
