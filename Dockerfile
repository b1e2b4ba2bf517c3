# zerosim with its main job as default command:   docker build -t zerosim . && docker run --rm zerosim
# With CUDA:   docker build --build-arg BASE=nvidia/cuda:12.6.3-devel-ubuntu24.04 -t zerosim:cuda .
# (needs apt and the package names of launch/lib/packages.sh: Debian 12, Ubuntu 24.04 or later)
ARG BASE=debian:12-slim
FROM ${BASE}
# OFF: the image may run on another kind of machine than the one that built it. ON is faster where both are the same.
ARG NATIVE=OFF
WORKDIR /opt/zerosim
COPY launch launch
RUN bash -c 'set -e; . launch/lib/common.sh; . launch/lib/packages.sh; ensure_packages "${build_packages[@]}"' \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset release -DZEROSIM_TESTS=OFF -DZEROSIM_NATIVE=${NATIVE} \
    && cmake --build build/release --target zerosim \
    && ln -s /opt/zerosim/build/release/zerosim /usr/local/bin/zerosim
# As in launch/mpirun-env.sh, for commands other than the default one.
ENV OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
    OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl=self,vader \
    OMPI_MCA_btl_vader_single_copy_mechanism=none
CMD ["./launch/quickstart", "--no-install"]
