// What control groups leave a process, read from made-up trees of the kernel's files.
#include "cli/control_group.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace zerosim::cli {
namespace {

namespace fs = std::filesystem;

class ControlGroup : public testing::Test {
protected:
    void write(const std::string& path, const std::string& text) const {
        fs::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text;
    }
    void TearDown() override { fs::remove_all(root); }
    fs::path root = fs::path(testing::TempDir()) / ("control_group_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(ControlGroup, NoGroupIsNoLimit) {
    EXPECT_EQ(control_group_room(root).memory, std::nullopt);
    EXPECT_EQ(control_group_room(root).cores, std::nullopt);
    write("proc/self/cgroup", "0::/\n");
    write("sys/fs/cgroup/memory.max", "max\n");
    write("sys/fs/cgroup/memory.current", "1000\n");
    write("sys/fs/cgroup/cpu.max", "max 100000\n");
    EXPECT_EQ(control_group_room(root).memory, std::nullopt);
    EXPECT_EQ(control_group_room(root).cores, std::nullopt);
}

TEST_F(ControlGroup, TheLeastOfAJobsGroupsCounts) {
    write("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0\n");
    const std::string job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/";
    write(job + "memory.max", "8000\n");
    write(job + "memory.current", "3000\n");
    write(job + "memory.stat", "anon 2000\ninactive_file 600\nactive_file 400\n");
    write(job + "step_0/memory.max", "max\n");
    write(job + "step_0/memory.current", "3000\n");
    write(job + "step_0/cpu.max", "150000 100000\n");
    EXPECT_EQ(control_group_room(root).memory, 5600) << "8000 - 3000, and 600 of pages that the kernel drops first";
    EXPECT_EQ(control_group_room(root).cores, 1.5);
}

TEST_F(ControlGroup, AContainerSeesItsOwnGroupAsTheRoot) {
    write("proc/self/cgroup", "0::/docker/0123\n");
    write("sys/fs/cgroup/memory.max", "5000\n");
    write("sys/fs/cgroup/memory.current", "6000\n");
    EXPECT_EQ(control_group_room(root).memory, 0) << "never less than nothing";
}

TEST_F(ControlGroup, Version1HasAHierarchyForEachController) {
    write("proc/self/cgroup", "5:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/user.slice\n");
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "10000\n");
    write("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "4000\n");
    write("sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes", "1000\n");
    write("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "-1\n");
    write("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
    write("sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_quota_us", "400000\n");
    write("sys/fs/cgroup/cpu,cpuacct/slurm/job_7/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(control_group_room(root).memory, 3000);
    EXPECT_EQ(control_group_room(root).cores, 4.0);
}

} // namespace
} // namespace zerosim::cli
