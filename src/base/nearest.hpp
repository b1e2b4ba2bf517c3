// The valid name nearest to a mistyped one, for "did you mean".
// Used wherever a name is looked up: options, values, presets, subcommands.
// Does not decide what is valid.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim {

/// Edit distance with insertions, deletions, substitutions and swaps of neighbours (Damerau 1964, restricted form).
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest candidates, all at the same distance, if near enough to be meant (a third of the name's length, at least 2, less than
/// the name's letters); capitals and '_' for '-' are no mistakes. A candidate whose last part after '.' is the name counts as one edit
/// away: `zero-stage` means `strategy.zero-stage`; so does one that the name abbreviates: `strategy.zero`. One that has the name among
/// its words counts as two: `stage`, `strategy.stage`.
[[nodiscard]] std::vector<std::string> nearest(std::string_view name, std::span<const std::string> candidates);

/// "; did you mean 'x'?", "; did you mean 'x' or 'y'?" (four at most) or "" - to append to an error.
[[nodiscard]] std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

} // namespace zerosim
