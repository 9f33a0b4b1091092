// A thread that works for microseconds at a time goes before those that compute.
#pragma once

namespace cairn {

/// Lets the calling thread run as soon as it is woken, where the system permits (CAP_SYS_NICE or RLIMIT_NICE); where
/// not, it stays an ordinary one. Threads and processes that it starts inherit it.
///
/// A client on this machine that sends a request wakes the reactor, often on the client's own processor: the kernel
/// expects the sender to sleep next (WF_SYNC). A client with more to send does not; an ordinary reactor would wait
/// until it has sent all, and disk and client would work in turns.
void run_when_woken();

}  // namespace cairn
