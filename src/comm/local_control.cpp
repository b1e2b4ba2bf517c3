#include "comm/local_control.hpp"

#include "comm/backoff.hpp"

#include <utility>

namespace zerosim::comm {

namespace {

/// The answer of one rank to one asker. The asker reads it only after `query` has reached its question's number, and an answerer
/// writes only in reply to a newer question, so at most one side touches the fields at a time; they are atomic for a late answer.
struct Answer {
    std::atomic<std::uint64_t> query{0};
    std::atomic<std::int64_t> step{0}, op{-1}, collectives{0}, collective_op{-1};
};

/// Written once, then announced.
struct Failure {
    std::atomic<bool> claimed{false}, announced{false};
    AbortNotice notice;
};

} // namespace

struct LocalControlGroup {
    explicit LocalControlGroup(int n)
        : ranks(static_cast<std::size_t>(n)), queries(ranks), answers(ranks * ranks), failures(ranks) {}
    std::size_t ranks;
    alignas(64) std::atomic<std::uint64_t> news{0};  // grows with every question and failure: serving without news is one load
    std::vector<std::atomic<std::uint64_t>> queries; // by asker: the number of its latest question
    std::vector<Answer> answers;                     // by answerer * ranks + asker
    std::vector<Failure> failures;
};

namespace {

class LocalControl final : public ControlChannel {
public:
    LocalControl(std::shared_ptr<LocalControlGroup> group, int rank)
        : group_(std::move(group)), rank_(static_cast<std::size_t>(rank)), answered_(group_->ranks), reported_(group_->ranks) {}

    [[nodiscard]] std::optional<AbortNotice> serve(const Progress& mine) override {
        const std::uint64_t news = group_->news.load(std::memory_order_acquire);
        if (news == seen_) return std::nullopt;
        answer(mine);
        for (std::size_t peer = 0; peer < group_->ranks; ++peer) {
            const Failure& failure = group_->failures[peer];
            if (peer == rank_ || reported_[peer] || !failure.announced.load(std::memory_order_acquire)) continue;
            reported_[peer] = true;
            return failure.notice; // `seen_` stays: there may be more
        }
        seen_ = news;
        return std::nullopt;
    }

    [[nodiscard]] std::vector<PeerStatus> query(const Progress& mine, std::chrono::milliseconds patience) override {
        const std::uint64_t number = group_->queries[rank_].fetch_add(1, std::memory_order_release) + 1;
        group_->news.fetch_add(1, std::memory_order_release);
        const auto deadline = std::chrono::steady_clock::now() + patience;
        Backoff backoff;
        while (!all_answered(number) && std::chrono::steady_clock::now() < deadline) {
            answer(mine);
            backoff.pause();
        }
        return collect(number);
    }

    void announce_abort(const AbortNotice& notice) override {
        Failure& failure = group_->failures[rank_];
        if (failure.claimed.exchange(true)) return; // the first reason is the one that matters
        failure.notice = notice;
        failure.announced.store(true, std::memory_order_release);
        group_->news.fetch_add(1, std::memory_order_release);
    }

private:
    void answer(const Progress& mine) {
        for (std::size_t asker = 0; asker < group_->ranks; ++asker) {
            const std::uint64_t number = group_->queries[asker].load(std::memory_order_acquire);
            if (asker == rank_ || number == answered_[asker]) continue;
            answered_[asker] = number;
            Answer& out = group_->answers[rank_ * group_->ranks + asker];
            out.step.store(mine.step.load(std::memory_order_relaxed), std::memory_order_relaxed);
            out.op.store(mine.op.load(std::memory_order_relaxed), std::memory_order_relaxed);
            out.collectives.store(mine.collectives.load(std::memory_order_relaxed), std::memory_order_relaxed);
            out.collective_op.store(mine.collective_op.load(std::memory_order_relaxed), std::memory_order_relaxed);
            out.query.store(number, std::memory_order_release);
        }
    }
    [[nodiscard]] const Answer& answer_of(std::size_t peer) const { return group_->answers[peer * group_->ranks + rank_]; }
    [[nodiscard]] bool all_answered(std::uint64_t number) const {
        for (std::size_t peer = 0; peer < group_->ranks; ++peer)
            if (peer != rank_ && answer_of(peer).query.load(std::memory_order_acquire) < number) return false;
        return true;
    }
    [[nodiscard]] std::vector<PeerStatus> collect(std::uint64_t number) const {
        std::vector<PeerStatus> all;
        for (std::size_t peer = 0; peer < group_->ranks; ++peer) {
            if (peer == rank_) continue;
            PeerStatus status{.rank = static_cast<int>(peer)};
            const Answer& in = answer_of(peer);
            if (in.query.load(std::memory_order_acquire) >= number) {
                status = {static_cast<int>(peer),
                          true,
                          in.step.load(std::memory_order_relaxed),
                          in.op.load(std::memory_order_relaxed),
                          in.collectives.load(std::memory_order_relaxed),
                          in.collective_op.load(std::memory_order_relaxed)};
            }
            all.push_back(status);
        }
        return all;
    }

    std::shared_ptr<LocalControlGroup> group_;
    std::size_t rank_;
    std::uint64_t seen_ = 0;
    std::vector<std::uint64_t> answered_; // by asker: the number of the last question answered
    std::vector<bool> reported_;          // failures already returned
};

} // namespace

std::shared_ptr<LocalControlGroup> make_local_control_group(int ranks) { return std::make_shared<LocalControlGroup>(ranks); }

std::unique_ptr<ControlChannel> make_local_control(std::shared_ptr<LocalControlGroup> group, int rank) {
    return std::make_unique<LocalControl>(std::move(group), rank);
}

} // namespace zerosim::comm
