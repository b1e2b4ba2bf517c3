#include "base/units.hpp"
#include "report/cells.hpp"
#include "report/table.hpp"

#include <array>

namespace zerosim::report {
namespace {

using schedule::Role;

constexpr std::array kStates{Role::parameter,     Role::parameter_shard, Role::gradient,     Role::gradient_shard,
                             Role::master_weight, Role::first_moment,    Role::second_moment};
constexpr std::size_t kMostRanksShown = 16;

std::int64_t model_states(const schedule::RoleBytes& bytes) {
    std::int64_t sum = 0;
    for (const Role role : kStates) sum += bytes[static_cast<std::size_t>(role)];
    return sum;
}

TextTable roles_table(const analysis::RunReport& report) {
    const analysis::MemoryReport& memory = report.memory;
    TextTable table({{"role", "", true}, {"at peak", "(MiB)"}, {"after step", "(MiB)"}});
    for (std::size_t role = 0; role < memory.at_peak_by_role.size(); ++role) {
        const std::int64_t peak = memory.at_peak_by_role[role], after = memory.after_step_by_role[role];
        if (peak != 0 || after != 0) table.add({words(name(static_cast<Role>(role))), mib(peak), mib(after)});
    }
    table.rule();
    table.add({"total", mib(memory.peak_allocated), mib(memory.after_step)});
    table.rule();
    table.add({"model states", mib(model_states(memory.at_peak_by_role)), mib(model_states(memory.after_step_by_role))});
    if (report.formula) table.add({"paper: " + report.formula->state_text, "", mib(report.formula->state_bytes)});
    return table;
}

std::string handed_out_line(const analysis::PredictionReport& prediction, const analysis::MemoryReport& memory) {
    if (prediction.compared_ops == 0) return {};
    return fmt::format("  predicted {} MiB at the peak, {} MiB after the step; handed out {} and {} MiB;\n"
                       "  largest difference after any op of any rank: {} byte(s) ({} ops compared)\n",
                       mib(prediction.peak_allocated), mib(prediction.after_step), mib(memory.peak_allocated), mib(memory.after_step),
                       prediction.largest_difference, format_count(prediction.compared_ops));
}

std::string allocator_lines(const analysis::AllocatorReport& allocator, const analysis::MemoryReport& memory) {
    std::string text = fmt::format("  allocator (MiB): {} reserved, {} allocated, {} active with what other streams still used;\n"
                                   "  {} in free parts of segments at most, {} after the step; {} retr{}\n",
                                   mib(memory.peak_reserved), mib(memory.peak_allocated), mib(allocator.peak_active), mib(allocator.peak_inactive_split),
                                   mib(allocator.inactive_split), allocator.retries, allocator.retries == 1 ? "y" : "ies");
    if (const auto& shortage = allocator.out_of_memory)
        text += fmt::format("  OUT OF MEMORY: {} MiB asked for with {} of {} MiB reserved, {} of them allocated; the largest free block of a segment in use has {}\n",
                            mib(shortage->requested), mib(shortage->reserved), mib(shortage->capacity), mib(shortage->allocated), mib(shortage->largest_free));
    return text;
}

/// What the driver says, beside what was predicted.
std::string driver_lines(const analysis::DriverReport& d) {
    std::string text = fmt::format("  driver (MiB): {} used at the end: {} context, {} pools, {} communicators, {} libraries, {} other", mib(d.used), mib(d.context), mib(d.pools),
                                   mib(d.communicators), mib(d.libraries), mib(d.other));
    if (d.others > 0) text += fmt::format(", {} of other processes before", mib(d.others));
    if (d.predicted_context > 0 || d.predicted_communicator > 0)
        text += fmt::format(";\n  predicted {} context with libraries, {} communicators", mib(d.predicted_context), mib(d.predicted_communicator));
    if (d.growth != 0) text += fmt::format(";\n  IT GREW by {} after the second step", mib(d.growth));
    if (d.shared) text += ";\n  other ranks are on this device: their memory is in these figures";
    return text + "\n";
}

}  // namespace

std::string memory_section(const analysis::RunReport& report, Style style) {
    const analysis::MemoryReport& memory = report.memory;
    std::string text = heading("MEMORY of rank 0", style) + "\n" + roles_table(report).render(style);
    if (report.formula) {
        text += faint(fmt::format("  paper: Rajbhandari et al. 2020, model states alone; P = {} parameters, N = {} rank(s)",
                                  format_count(report.formula->parameters), report.formula->ranks), style) + "\n";
    }
    if (report.prediction) text += handed_out_line(*report.prediction, memory);
    text += fmt::format("  peaks (MiB): init {}, first step {}, forward {}, backward {}, optimizer {}\n", mib(memory.init_peak),
                        mib(memory.first_step_peak), mib(memory.forward_peak), mib(memory.backward_peak), mib(memory.optimizer_peak));
    const std::int64_t used = memory.peak_reserved + memory.context + memory.communicator;
    text += fmt::format("  device: {} reserved", format_bytes(static_cast<double>(memory.peak_reserved)));
    if (memory.context != 0) text += " + " + format_bytes(static_cast<double>(memory.context)) + " context";
    if (memory.communicator != 0) text += " + " + format_bytes(static_cast<double>(memory.communicator)) + " communicators";
    if (used != memory.peak_reserved) text += " = " + format_bytes(static_cast<double>(used));
    const double spare = static_cast<double>(memory.device_total - used);
    text += fmt::format(" of {}: {}\n", format_bytes(static_cast<double>(memory.device_total)),
                        memory.fits ? "fits, " + format_bytes(spare) + " to spare" : spare < 0 ? "DOES NOT FIT, " + format_bytes(-spare) + " too much" : "DOES NOT FIT");
    if (memory.driver) text += driver_lines(*memory.driver);
    if (memory.allocator) text += allocator_lines(*memory.allocator, memory);
    if (const analysis::RankReport* largest = report.largest_rank(); report.ranks.size() > 1 && largest != nullptr)
        text += fmt::format("  largest rank: {} with {} MiB at its peak\n", largest->rank, mib(largest->memory.peak_allocated));
    return text;
}

std::string ranks_section(const analysis::RunReport& report, Style style) {
    if (report.ranks.size() < 2) return {};
    TextTable table({{"rank", ""}, {"like it", ""}, {"peak", "(MiB)"}, {"after step", "(MiB)"}, {"step", "(ms)"}, {"forward", "(ms)"},
                     {"backward", "(ms)"}, {"optimizer", "(ms)"}, {"exposed", "(ms)"}});
    for (std::size_t i = 0; i < std::min(report.ranks.size(), kMostRanksShown); ++i) {
        const analysis::RankReport& rank = report.ranks[i];
        table.add({std::to_string(rank.rank), std::to_string(rank.count), mib(rank.memory.peak_allocated), mib(rank.memory.after_step),
                   milliseconds(rank.time.step), milliseconds(rank.time.forward), milliseconds(rank.time.backward),
                   milliseconds(rank.time.optimizer), milliseconds(rank.time.exposed_communication)});
    }
    std::string text = heading("RANKS", style) + "\n" + table.render(style);
    if (report.ranks.size() > kMostRanksShown)
        text += fmt::format("  ... and {} more (--format json lists all)\n", report.ranks.size() - kMostRanksShown);
    return text;
}

}  // namespace zerosim::report
