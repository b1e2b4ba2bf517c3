#include "base/rng.hpp"
#include "device/cuda_kernels/elements.cuh"
#include "device/cuda_kernels/kernels.hpp"

#include <array>

// Casts, strided copies, fills, dropout, and a kernel that only takes time.

namespace zerosim::device::cuda {
namespace {

/// From one storage type to another; four elements at a time where both allow it.
template <class From, class To, int N>
struct Convert {
    Matrix<From> from;
    Matrix<To> to;
    bool accumulate;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float values[N];
        load_pack<From, N>(from.row(row) + column, values);
        if (accumulate) {
            float old[N];
            load_pack<To, N>(to.row(row) + column, old);
#pragma unroll
            for (int i = 0; i < N; ++i) values[i] += old[i];
        }
        store_pack<To, N>(values, to.row(row) + column);
    }
};

template <class T>
struct Raw {
    T* data;
    std::int64_t row_stride;
};
/// Integers and fp64, and fills of anything.
template <class T>
struct MoveRaw {
    Raw<const T> from;
    Raw<T> to;
    bool accumulate;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        const T value = from.data[row * from.row_stride + column];
        T& destination = to.data[row * to.row_stride + column];
        destination = accumulate ? static_cast<T>(destination + value) : value;
    }
};
template <class T, int N>
struct FillRaw {
    Raw<T> to;
    T value;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        Pack<T, N> pack;
#pragma unroll
        for (int i = 0; i < N; ++i) pack.values[i] = value;
        T* const destination = to.data + row * to.row_stride + column;
        check_pack(destination, sizeof(pack));
        *reinterpret_cast<Pack<T, N>*>(destination) = pack;
    }
};

template <class Body>
void loop(std::int64_t rows, std::int64_t columns, Stream stream, const Body& body) {
    launch(each_pack<1, Body>, {blocks_for(rows * columns, kLoopThreads), kLoopThreads}, stream, rows, columns, body);
}

template <class T>
void move_raw(const TensorView& from, const TensorView& to, bool accumulate, Stream stream) {
    loop(to.rows, to.columns, stream, MoveRaw<T>{{from.as<const T>(), from.row_stride}, {to.as<T>(), to.row_stride}, accumulate});
}
template <class T>
void fill_raw(const TensorView& to, T value, Stream stream) {
    constexpr int kPack = 16 / static_cast<int>(sizeof(T));
    const Shape shape = shape_of(std::array{to});
    const Raw<T> destination{to.as<T>(), to.row_stride};
    if (shape.packed)
        launch(each_pack<kPack, FillRaw<T, kPack>>, {blocks_for(shape.rows * (shape.columns / kPack), kLoopThreads), kLoopThreads}, stream, shape.rows, shape.columns,
               FillRaw<T, kPack>{destination, value});
    else loop(to.rows, to.columns, stream, FillRaw<T, 1>{destination, value});
}

/// A contiguous view takes the other one's shape.
TensorView shaped_like(const TensorView& view, const TensorView& other) {
    if (view.rows == other.rows && view.columns == other.columns) return view;
    check(view.contiguous() && view.elements() == other.elements(), "a copy between tensors of different sizes");
    return {view.data, other.rows, other.columns, other.columns, view.dtype};
}

bool computes(DType type) { return type == DType::fp32 || type == DType::bf16 || type == DType::fp16; }

template <class From, class To>
void convert(const TensorView& from, const TensorView& to, bool accumulate, Stream stream) {
    constexpr int kN = 4;
    const std::array views{from, to};
    const Shape shape = shape_of(views);
    const auto launch_width = [&]<int N>(std::integral_constant<int, N>) {
        using Body = Convert<From, To, N>;
        launch(each_pack<N, Body>, {blocks_for(shape.rows * ((shape.columns + N - 1) / N), kLoopThreads), kLoopThreads}, stream, shape.rows, shape.columns,
               Body{matrix<From>(from), matrix<To>(to), accumulate});
    };
    if (shape.packed) launch_width(std::integral_constant<int, kN>{});
    else launch_width(std::integral_constant<int, 1>{});
}

// The mask of host_kernels/dropout.cpp: a hash of (seed, step, sample, layer, site) and of the element within its sample.
struct Mask {
    std::uint64_t when, place, threshold;
    std::int64_t sample_elements, first_sample;
    float scale;
};
template <class Type>
struct Dropout {
    Matrix<Type> x, y;
    std::int64_t columns;
    Mask mask;
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        const std::int64_t element = row * columns + column, sample = element / mask.sample_elements;
        const std::uint64_t key = hash64(hash64(hash64(mask.when, static_cast<std::uint64_t>(mask.first_sample + sample)), mask.place));
        const bool keep = (hash64(key ^ static_cast<std::uint64_t>(element - sample * mask.sample_elements)) >> 32) >= mask.threshold;
        y.row(row)[column] = Type::store(keep ? Type::load(x.row(row)[column]) * mask.scale : 0.0f);
    }
};

#ifdef __CUDACC__
__device__ unsigned long long nanoseconds() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
}
__global__ void hold(unsigned long long duration) {
    const unsigned long long begin = nanoseconds();
    while (nanoseconds() - begin < duration) __nanosleep(200);
}
#else
void hold(unsigned long long) {}
#endif

}  // namespace

void spin(double seconds, const LaunchContext& context) { launch(hold, {1, 1}, context.stream, static_cast<unsigned long long>(seconds * 1e9)); }

void copy(const TensorView& source, const TensorView& destination, bool accumulate, const LaunchContext& context) {
    const TensorView from = shaped_like(source, destination);
    if (destination.elements() == 0) return;
    if (computes(from.dtype) && computes(destination.dtype))
        return with_float_type(from.dtype, [&](auto a) {
            with_float_type(destination.dtype, [&](auto b) { convert<decltype(a), decltype(b)>(from, destination, accumulate, context.stream); });
        });
    check(from.dtype == destination.dtype, "a copy between integers or fp64 and another type");
    switch (size_of(from.dtype)) {
        case 8: return from.dtype == DType::fp64 ? move_raw<double>(from, destination, accumulate, context.stream) : move_raw<std::int64_t>(from, destination, accumulate, context.stream);
        case 4: return move_raw<std::int32_t>(from, destination, accumulate, context.stream);
        default: return move_raw<std::uint8_t>(from, destination, accumulate, context.stream);
    }
}

void fill(const TensorView& destination, double value, const LaunchContext& context) {
    const Stream stream = context.stream;
    switch (destination.dtype) {
        case DType::fp32: return fill_raw(destination, static_cast<float>(value), stream);
        case DType::bf16: return fill_raw(destination, BFloat16::store(static_cast<float>(value)), stream);
        case DType::fp16: return fill_raw(destination, Float16::store(static_cast<float>(value)), stream);
        case DType::fp64: return fill_raw(destination, value, stream);
        case DType::int32: return fill_raw(destination, static_cast<std::int32_t>(value), stream);
        case DType::int64: return fill_raw(destination, static_cast<std::int64_t>(value), stream);
        case DType::uint8: return fill_raw(destination, static_cast<std::uint8_t>(value), stream);
    }
}

void dropout(const KernelCall& call, const LaunchContext& context) {
    const TensorView &x = call.operands[0], &y = call.operands[1];
    const double p = call.attributes.dropout;
    check(p >= 0 && p < 1 && call.attributes.sequence > 0, "dropout: a probability in [0, 1) and the sequence length");
    Mask mask;
    mask.when = hash64(call.context.seed, static_cast<std::uint64_t>(call.context.step));
    mask.place = (std::uint64_t{call.attributes.layer} << 32) | call.attributes.site;
    mask.threshold = static_cast<std::uint64_t>(p * 0x1.0p32);
    mask.sample_elements = call.attributes.sequence * x.columns;
    mask.first_sample = call.context.first_sample;
    mask.scale = static_cast<float>(1.0 / (1.0 - p));
    with_float_type(x.dtype, [&](auto type) {
        using Type = decltype(type);
        loop(x.rows, x.columns, context.stream, Dropout<Type>{matrix<Type>(x), matrix<Type>(y), x.columns, mask});
    });
}

}  // namespace zerosim::device::cuda
