// Copies and fills of tensors on the host: casts, strides, adding into the destination.
// Called by HostDevice and by kernels that clear what they add into.
// Does not order copies: source and destination must not overlap, unless they are the same view.
#pragma once

#include "device/device.hpp"

namespace zerosim::device::host {

/// Views of equal shape, or of equally many elements where at most one has strides. Casts between floats round once, to nearest
/// even (fp64 to 2 bytes through fp32); integers are copied only to their own type. `workers` may be null.
void copy(Workers* workers, const TensorView& source, const TensorView& destination, bool accumulate);
void fill(Workers* workers, const TensorView& destination, double value);

} // namespace zerosim::device::host
