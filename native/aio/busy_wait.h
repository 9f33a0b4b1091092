// When a thread with nothing to do looks for completions for a moment before it sleeps.
//
// To sleep and be woken costs both sides more time, and in a virtual machine more of the processor's, than a client
// takes to send its next request when it waits for each reply. Looking pays only where that is so: it is done after
// waits that were short, and stops soon when they are not.
#pragma once

#include <algorithm>
#include <chrono>

namespace cairn {

class BusyWait {
 public:
  using Clock = std::chrono::steady_clock;
  /// About what it costs to sleep and be woken: who looks longer has lost.
  static constexpr Clock::duration limit = std::chrono::microseconds(25);
  /// A wait that was slept through takes longer than it would have been watched: both sides are to be woken.
  static constexpr Clock::duration slept_limit = std::chrono::microseconds(50);
  /// Short waits before it is worth it, and after which the score rises no further.
  static constexpr int pays_from = 8;
  static constexpr int score_max = 2 * pays_from;
  /// So many short ones a long one takes away.
  static constexpr int miss = 4;

  bool pays() const { return score_ >= pays_from; }
  /// How long it was until something happened, watched (from its beginning) or not.
  void waited(Clock::duration time, bool watched) {
    const bool is_short = time <= (watched ? limit : slept_limit);
    score_ = is_short ? std::min(score_ + 1, score_max) : std::max(score_ - miss, 0);
  }

  /// Between two looks: lets the processor's other thread have the core.
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

 private:
  int score_ = 0;
};

}  // namespace cairn
