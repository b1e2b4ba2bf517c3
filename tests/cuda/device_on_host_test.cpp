// CudaDevice itself where there is no GPU: over the tests' CUDA runtime and cuBLASLt, with the kernels on the emulated grid. Whole steps against the
// host's executor; copies, staging, events.
#include "device/cuda_check.hpp"
#include "device/gpu.hpp"
#include "device/gpu_copies.hpp"
#include "exec/execute_on_streams.hpp"
#include "support/fake_cudart.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace zerosim::test {
namespace {

exec::RankResult train_on_cuda(strategy::Scenario s, bool planned) {
    s.library = kernel::Library::cuda;
    const schedule::Schedule schedule = strategy::plan(s);
    exec::ExecuteOptions options = options_of(s);
    options.trace = true;
    if (planned) options.arena = schedule::plan_arena(schedule.program_of(0));
    const auto gpu = device::make_gpu(exec::gpu_options(schedule, schedule.program_of(0), options.arena));
    exec::StreamCommunicators communicators(schedule.program_of(0).streams.size(), schedule.axes.size());
    comm::Progress progress;
    data::TokenSource tokens(s.training.data, s.model.real_vocabulary);
    return exec::execute_on_streams(schedule, 0, {*gpu, communicators, nullptr, progress, tokens}, options);
}

class CudaDeviceOnHost : public testing::TestWithParam<std::tuple<bool, strategy::Precision, bool>> {};

TEST_P(CudaDeviceOnHost, TrainsAsTheHostDoes) {
    const auto [llama, precision, planned] = GetParam();
    strategy::Scenario s = scenario(llama ? tiny_llama() : tiny_gpt2(), 0, 1);
    s.training.precision = precision;
    s.training.gradient_accumulation = 2;
    const Trained host = train(s);
    const int errors = fake_cudart_errors();
    const exec::RankResult cuda = train_on_cuda(s, planned);
    ASSERT_EQ(cuda.steps.size(), host.losses.size());
    const double tolerance = precision == strategy::Precision::fp32 ? 2e-4 : 2e-2;
    for (std::size_t i = 0; i < host.losses.size(); ++i) {
        EXPECT_NEAR(cuda.steps[i].loss, host.losses[i], tolerance * host.losses[i]) << "step " << i;
        EXPECT_NEAR(cuda.steps[i].gradient_norm, host.norms[i], 2 * tolerance * host.norms[i]) << "step " << i;
    }
    for (const auto& row : cuda.trace.times) EXPECT_GE(row.end, row.begin);
    EXPECT_EQ(fake_cudart_errors(), errors) << "CUDA refused a call, perhaps in a destructor";
    EXPECT_EQ(fake_cudart_live(), 0u) << "not given back";
}

INSTANTIATE_TEST_SUITE_P(Steps, CudaDeviceOnHost,
                         testing::Combine(testing::Bool(), testing::Values(strategy::Precision::fp32, strategy::Precision::bf16_mixed), testing::Bool()));

TEST(CudaDeviceOnHost, StagesMoreUploadsThanItHasBuffers) {
    device::GpuOptions options;
    options.streams = {{false}, {true}};
    options.pools = {{"test", StreamId{0}}};
    {
        const auto gpu = device::make_gpu(options);
        gpu->use(StreamId{1});
        std::byte* const data = gpu->allocate(PoolId{0}, 20'000, -1);
        for (std::uint8_t i = 0; i < 20; ++i) {
            const std::vector<std::uint8_t> piece(1000 - 40 * std::size_t{i}, i);
            gpu->upload(piece.data(), data + 1000 * i, static_cast<std::int64_t>(piece.size()));
        }
        std::vector<std::uint8_t> found(20'000);
        gpu->download(data, found.data(), 20'000);
        for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(found[1000 * i + 999 - 40 * i], i);
        EXPECT_EQ(gpu->handed_out_bytes(), 20'000);
        gpu->release(PoolId{0}, data, 20'000);
        const auto plain = gpu->make_event(false), timed = gpu->make_event(true);
        EXPECT_TRUE(gpu->done(plain)) << "never recorded";
        gpu->record(plain);
        gpu->record(timed);
        EXPECT_THROW((void)gpu->seconds_between(timed, timed), BugError) << "not done yet";
        while (!gpu->done(timed)) {}
        EXPECT_TRUE(gpu->done(plain)) << "it came before";
        EXPECT_EQ(gpu->seconds_between(timed, timed), 0);
        EXPECT_THROW((void)gpu->seconds_between(plain, timed), BugError) << "an event without time";
    }
    EXPECT_EQ(fake_cudart_live(), 0u);
}

// The tests' cuBLASLt has none for fp16 that begins at two bytes.
TEST(CudaDeviceOnHost, SaysWhichProductsTheLibraryHasNoAlgorithmFor) {
    device::GpuOptions options;
    options.streams = {{false}, {false}};
    options.pools = {{"test", StreamId{0}}};
    const auto gpu = device::make_gpu(options);
    std::vector<std::uint16_t> x(3 * 16), weight(5 * 16 + 1), y(3 * 5);
    kernel::Attributes a;
    a.tokens = 3, a.in = 16, a.out = 5;
    const auto run = [&](std::uint16_t* w) {
        const std::array<device::TensorView, 5> operands{{{x.data(), 3, 16, 16, DType::fp16}, {w, 5, 16, 16, DType::fp16}, {}, {}, {y.data(), 3, 5, 5, DType::fp16}}};
        gpu->launch({kernel::Kernel::linear_forward, a, operands, {}, {}, {}});
    };
    gpu->use(StreamId{0});
    run(weight.data());
    EXPECT_THAT(gpu->remarks(), testing::IsEmpty());
    for (const std::size_t stream : {0u, 1u, 0u}) {
        gpu->use(StreamId{stream});
        run(weight.data() + 1);
    }
    EXPECT_THAT(gpu->remarks(), testing::ElementsAre(testing::AllOf(testing::HasSubstr("a product of 3 x 16 and 16 x 5 elements of fp16"), testing::HasSubstr("a plain kernel"))));
}

TEST(CudaDeviceOnHost, TimesCopiesOfEveryPath) {
    using device::CopyPath;
    const int errors = fake_cudart_errors();
    for (const CopyPath path : {CopyPath::within, CopyPath::pinned_to_device, CopyPath::pinned_from_device, CopyPath::pageable_to_device, CopyPath::pageable_from_device, CopyPath::between}) {
        const std::vector<double> seconds = device::time_copies(path, 0, path == CopyPath::between ? 1 : 0, 4096, 3);
        ASSERT_EQ(seconds.size(), 3u);
        for (const double value : seconds) EXPECT_GE(value, 0);
    }
    EXPECT_EQ(fake_cudart_errors(), errors);
    EXPECT_EQ(fake_cudart_live(), 0u);
}

TEST(CudaDeviceOnHost, SaysHowToFindTheOpOfAFault) {
    const auto words = [](cudaError_t status) -> std::string {
        try {
            device::check_cuda(status, "an upload");
        } catch (const BugError& error) {
            return error.what();
        }
        return {};
    };
    EXPECT_NE(words(cudaErrorIllegalAddress).find("CUDA_LAUNCH_BLOCKING=1"), std::string::npos);
    EXPECT_NE(words(cudaErrorMisalignedAddress).find("CUDA_LAUNCH_BLOCKING=1"), std::string::npos);
    EXPECT_EQ(words(cudaErrorInvalidValue).find("CUDA_LAUNCH_BLOCKING"), std::string::npos) << "of this very call";
}

TEST(CudaDeviceOnHost, ListsGpusByTheirAddress) {
    const auto gpus = device::list_gpus();
    ASSERT_EQ(gpus.size(), 2u);
    EXPECT_EQ(gpus[1].bus_id, "0000:2b:00.0");
    EXPECT_EQ(gpus[0].compute_capability, 90);
    EXPECT_EQ(device::link_between(0, 1), device::GpuLink::peer);
    device::GpuOptions options;
    options.ordinal = 2;
    EXPECT_THROW((void)device::make_gpu(options), EnvironmentError);
}

}  // namespace
}  // namespace zerosim::test
