// A call of one kernel with operands of its own: filled by a seed, run by the host and by the CUDA kernels, compared element by element.
// Used by kernels_test.cpp, for the emulated grid and for a GPU alike.
// Knows no kernel's formula: the host's kernels are held against references in tests/unit/device.
#pragma once

#include "device/device.hpp"

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace zerosim::device::test {

/// What an operand is filled with before the call.
enum class Content { absent, random, positive, zero, one, tokens, targets };

struct Operand {
    std::int64_t rows = 0, columns = 0;
    DType dtype = DType::fp32;
    Content content = Content::random;
    std::int64_t row_stride = 0;         // 0 = columns
    int same_as = -1;                    // in place: the storage of this operand
    std::int64_t offset = 0;             // elements before it: shards and parameters of a flat unit begin anywhere
};

struct KernelCase {
    std::string name;
    kernel::Kernel kernel{};
    kernel::Attributes attributes;
    std::vector<Operand> operands;
    std::vector<RangeSegment> range;
    double tolerance = 1e-5;             // of the largest magnitude of the operand
    double least = 0;                    // what a magnitude below counts as: results that cancel to nothing
    bool tensor_cores = false;
};
void PrintTo(const KernelCase& test, std::ostream* stream);

/// Bytes of every operand (empty: absent or in place), filled by the case's name.
[[nodiscard]] std::vector<std::vector<std::byte>> contents_of(const KernelCase& test);
/// Views of `storage`, one base address an operand.
[[nodiscard]] std::vector<TensorView> views_of(const KernelCase& test, const std::vector<std::byte*>& storage);
/// All elements within the view, as doubles.
[[nodiscard]] std::vector<double> elements_of(const Operand& operand, const std::vector<std::byte>& bytes);

[[nodiscard]] std::vector<KernelCase> kernel_cases();

using Contents = std::vector<std::vector<std::byte>>;
// The back end under test: one of emulated_backend.cpp, device_backend.cpp.
/// "" where the back end can run.
[[nodiscard]] std::string no_cuda_because();
/// Runs the kernel on these operands, which then hold its results.
void run_on_cuda(const KernelCase& test, Contents& contents);
/// Matrix products too: the emulated grid has no cuBLASLt.
[[nodiscard]] bool has_matrix_products();

}  // namespace zerosim::device::test
