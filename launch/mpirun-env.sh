# What Open MPI needs to start more ranks than cores on one box, in a container, as root or not.
# Sourced by launch/quickstart and launch/test, and by hand:  . launch/mpirun-env.sh
# shellcheck shell=bash
export OMPI_MCA_rmaps_base_oversubscribe=1               # more ranks than cores are fine
export OMPI_MCA_hwloc_base_binding_policy=none           # else two mpiruns at once bind to the same cores
export OMPI_MCA_mpi_yield_when_idle=1                    # a waiting rank gives its core away
export OMPI_MCA_btl=self,vader                           # shared memory only: no network interface is looked for
export OMPI_MCA_btl_vader_single_copy_mechanism=none     # CMA is forbidden in most containers
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
