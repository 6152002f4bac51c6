// One TCP connection: RFC 9293's state machine with what RFCs 5681, 5961, 6298, 6937, 7323, 8985 and 9438 have added.
// Pure: segments, timers and the application's calls come in with the time; segments and events go out (segment.h). No
// clock, no randomness, no addresses, no EAL in it. What lasts longer than a connection is elsewhere: a half-open one
// in syn_table.h, TIME_WAIT in time_wait_table.h.
//
// The source is split by what happens: opening.cc, input.cc (which segments are believed), acknowledgment.cc (what they
// say of what we sent), undo.cc, receiving.cc, sending.cc, timers.cc, icmp.cc, closing.cc.
//
// Invariants: snd_una <= snd_nxt <= snd_una + the largest window offered; what is outstanding has a timer; the receive
// window's right edge never moves back; a connection that is over holds no node and no buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/tcp/acknowledging.h"
#include "dataplane/tcp/challenge_limit.h"
#include "dataplane/tcp/cubic.h"
#include "dataplane/tcp/handshake.h"
#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/rack.h"
#include "dataplane/tcp/rate_reduction.h"
#include "dataplane/tcp/reassembly.h"
#include "dataplane/tcp/receive_window.h"
#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/send_queue.h"
#include "dataplane/tcp/settings.h"
#include "dataplane/tcp/time_wait_table.h"
#include "dataplane/tcp/undo.h"

namespace steelyard::tcp {

// RFC 9293 section 3.3.2. LISTEN is a listener's (stack.h), SYN-RECEIVED only that of a simultaneous open.
enum class State : std::uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,  // over for the connection: its ending() goes to the table
};

// What every call needs and no connection keeps.
struct Context {
  Time now;
  const Settings& settings;
  Memory& memory;
  Output& output;
};

// What a connection begins with, whoever opens it.
struct Origin {
  Sequence initial;  // ISS
  std::uint32_t timestamp_offset = 0;
  std::uint16_t default_segment_size = 536;  // of the address family
  std::uint16_t headers = 40;                // IP and TCP, without options
  std::uint16_t minimum_mtu = 576;           // no report of a narrower path is believed
  std::uint8_t syn_repetitions = 0;          // of our SYN-ACK
  Duration round_trip{0};                    // of the handshake, when it is known; 0: it is not
};

// What connections can be asked; for reports and tests.
struct ConnectionReport {
  State state;
  std::uint32_t window;     // cwnd, octets
  std::uint32_t threshold;  // ssthresh, octets
  std::uint32_t in_flight;  // octets
  std::uint32_t unacknowledged;
  std::uint32_t unsent;          // queued, and not sent yet
  std::uint32_t unread;          // delivered, and not consumed yet
  std::uint32_t largest_window;  // the largest that the peer has offered
  std::uint32_t send_window;
  std::uint32_t segment;        // payload of a full segment
  std::uint32_t retransmitted;  // segments
  std::uint32_t held;           // buffers out of order
  Duration round_trip;
  Duration timeout;
  Sequence send_unacknowledged;
  Sequence send_next;
  Sequence receive_next;
  Sequence receive_edge;
  Time active_at;  // when the peer was last heard, or sent something to
  bool reordering_seen;
  bool timer_armed;
};

class Connection {
 public:
  // --- opening ---------------------------------------------------------------------------------------------------
  // Active: sends a SYN. Once, on a new connection.
  void connect(const Context& context, const Origin& origin);
  // Passive: the handshake that `acknowledgment` has completed. The segment is then to be given to on_segment().
  void accept(const Context& context, const Origin& origin, const Handshake& handshake, const Segment& acknowledgment);

  // --- what comes in ---------------------------------------------------------------------------------------------
  // Takes over the payload's reference.
  void on_segment(const Context& context, const Segment& segment);
  // To be called at deadline() or later; earlier calls do nothing.
  void on_timer(const Context& context);
  // An ICMP error says that packets of `mtu` octets fit (RFC 1191, RFC 8201); it quotes a segment that began at
  // `quoted`. Believed only if that is outstanding (RFC 5927 section 4.1).
  void on_path_mtu(const Context& context, Sequence quoted, std::uint32_t mtu);
  // Any other ICMP error that means the connection, about a segment that began at `quoted`; the same rule. `hard`: a
  // protocol, a port or a policy is in the way. One about a SYN ends the attempt; later all are soft (RFC 5927 section
  // 5.2), since a peer that has answered can say itself what is wrong.
  void on_unreachable(const Context& context, Sequence quoted, bool hard);

  // --- the application -------------------------------------------------------------------------------------------
  // Octets that send() would take as long as there are buffers enough.
  [[nodiscard]] std::uint32_t writable(const Settings& settings) const;
  // Queues slices and takes over the references of those that it has taken: the returned number of them, from the
  // front. It takes whole slices, as long as the buffer is not full; none when the sending side is closed or memory is
  // short.
  // `last`: when it takes all of them, shutdown() follows, and the FIN goes out with the last of them.
  [[nodiscard]] std::size_t send(const Context& context, std::span<const Slice> slices, bool last = false);
  // The application has done with `octets` of what was delivered: the window opens by them.
  void consume(const Context& context, std::uint32_t octets);
  // No more will be sent (FIN); what comes in is still delivered.
  void shutdown(const Context& context);
  // Neither is anything read any more: with unread data a reset, else as shutdown().
  void close(const Context& context);
  // Reset.
  void abort(const Context& context);
  // The same, because buffers are short and this connection holds many.
  void relieve(const Context& context);
  // The settings are others than at the last call. What the handshake has said stays: segment size and window scale.
  void settings_changed(const Context& context);

  // --- what it is ------------------------------------------------------------------------------------------------
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Cause cause() const { return cause_; }  // when over
  [[nodiscard]] Time deadline() const;
  // Of what is to be sent or acknowledged; `no_node`: nothing is.
  [[nodiscard]] NodeIndex first_queued() const { return queue_.first(); }
  // Octets whose buffers it makes somebody hold: unread, out of order (whole buffers), to be sent or repeated.
  [[nodiscard]] std::uint32_t held() const;
  // Something is to be sent that the peer has had no window for, for two seconds or more.
  [[nodiscard]] bool is_stalled(Time now) const;
  [[nodiscard]] Ending ending() const;  // in TIME_WAIT
  [[nodiscard]] ConnectionReport report(const Settings& settings) const;

 private:
  enum class Phase : std::uint8_t { open, recovery, loss };  // RFC 8985 and 6675: fast recovery, after a timeout
  enum class LossTimer : std::uint8_t { off, retransmission, probe, reordering, persist };
  struct Progress;  // what one acknowledgment has brought; progress.h

  // opening.cc
  void begin(const Context& context, const Origin& origin);
  void negotiate(const Context& context, const Handshake& handshake);
  void send_syn(const Context& context);
  void on_segment_in_syn_sent(const Context& context, const Segment& segment);
  void establish(const Context& context);

  // input.cc
  void on_segment_of_handshake(const Context& context, const Segment& received);
  [[nodiscard]] bool is_believed(const Context& context, const Segment& segment);
  void take(const Context& context, const Segment& segment, bool believed);
  [[nodiscard]] bool acceptable(const Context& context, const Segment& segment);
  [[nodiscard]] bool passes_paws(const Context& context, const Segment& segment);
  [[nodiscard]] bool in_window(const Segment& segment) const;
  [[nodiscard]] bool acknowledgment_acceptable(const Context& context, const Segment& segment);
  void on_reset(const Context& context, const Segment& segment);
  void answer_old(const Context& context, const Segment& segment);
  void challenge(const Context& context);
  void note_timestamp(const Context& context, const Segment& segment);

  // acknowledgment.cc
  void on_acknowledgment(const Context& context, const Segment& segment);
  [[nodiscard]] bool acknowledges_nothing(const Segment& segment) const;
  void update_send_window(const Context& context, const Segment& segment);
  [[nodiscard]] bool is_original(const Node& node) const;
  void take_delivered(const Context& context, const Segment& segment, Progress& progress);
  void take_sack(const Context& context, const Segment& segment, Progress& progress);
  void take_round_trip(const Context& context, const Segment& segment, Progress& progress);
  void count_duplicates(const Segment& segment, Progress& progress);
  void judge_probe(const Segment& segment, const Progress& progress);
  void detect_losses(const Context& context);
  void detect_losses_without_sack(const Context& context, const Progress& progress);
  void adjust_window(const Context& context, const Progress& progress);
  void enter_recovery(const Context& context);
  [[nodiscard]] bool three_sacked(const Context& context) const;
  void on_fin_acknowledged(const Context& context);

  // undo.cc
  void remember_window(std::uint32_t outstanding, bool by_timeout);
  [[nodiscard]] bool judge_response(const Context& context, const Segment& segment, const Progress& progress);
  [[nodiscard]] bool forward_shows_original(const Progress& progress);
  void take_back(const Context& context, const Progress& progress);

  // receiving.cc
  void on_text(const Context& context, const Segment& segment);
  [[nodiscard]] bool is_refused(const Context& context, Sequence begin) const;
  void take_in_order(const Context& context, const Slice& slice);
  void fill_gap(const Context& context, const Slice& segment);
  void take_out_of_order(const Context& context, Sequence begin, const Slice& slice);
  void take_fin(const Context& context);

  // sending.cc
  void send_pending(const Context& context);
  [[nodiscard]] bool retransmit_next(const Context& context, bool forced);
  [[nodiscard]] bool send_next(const Context& context);
  [[nodiscard]] bool worth_sending(const Context& context, std::uint32_t payload, std::uint32_t window) const;
  void transmit_run(const Context& context, const Run& run);
  void send_acknowledgment(const Context& context);
  void send_bare(const Context& context, Sequence sequence, std::uint8_t flags);
  void fill_header(const Context& context, Outgoing& segment);
  [[nodiscard]] std::uint32_t payload_room() const;                          // of a full segment that we send
  [[nodiscard]] std::uint16_t announced_size(const Context& context) const;  // the MSS option that we send
  [[nodiscard]] std::uint32_t flight() const;
  [[nodiscard]] std::uint32_t unsent_limit(const Context& context) const;
  void tell_writable(const Context& context);
  void finish(const Context& context);

  // timers.cc
  void arm(const Context& context);
  void on_loss_timer(const Context& context);
  void on_retransmission_timeout(const Context& context);
  void begin_loss_recovery(std::uint32_t outstanding);
  void on_syn_timeout(const Context& context);
  void on_probe_timeout(const Context& context);
  void on_persist_timeout(const Context& context);
  void on_idle_timer(const Context& context);
  [[nodiscard]] Duration persist_timeout(const Context& context) const;
  [[nodiscard]] Duration probe_timeout() const;
  [[nodiscard]] bool may_probe() const;
  void note_timeout(const Context& context);

  // closing.cc
  void queue_fin(const Context& context);
  void reset_peer(const Context& context, Cause cause);
  void reset_sender_of(const Context& context, const Segment& segment);
  void end(const Context& context, Cause cause);
  void enter_time_wait(const Context& context);

  [[nodiscard]] bool synchronized() const { return state_ >= State::established; }
  [[nodiscard]] bool may_send_data() const { return state_ >= State::established && state_ <= State::last_ack; }
  [[nodiscard]] bool may_receive() const { return state_ >= State::established && state_ <= State::fin_wait_2; }
  [[nodiscard]] Sequence send_edge() const { return send_unacknowledged_ + send_window_; }
  [[nodiscard]] std::uint32_t timestamp(Time now) const { return milliseconds_of(now) + timestamp_offset_; }

  // --- what every segment touches: with the 72 octets of an entry of the stack four cache lines ------------------
  State state_ = State::closed;
  Phase phase_ = Phase::open;
  LossTimer loss_timer_ = LossTimer::off;
  std::uint8_t backoff_ = 0;     // timeouts since the last progress
  std::uint8_t peer_scale_ = 0;  // of the windows that the peer writes
  bool sack_ : 1 = false;        // both permit it
  bool timestamps_ : 1 = false;  // both use them
  bool scaled_ : 1 = false;      // both scale
  bool fin_queued_ : 1 = false;
  bool fin_seen_ : 1 = false;         // the peer's, perhaps out of order: fin_at_
  bool wants_writable_ : 1 = false;   // a send() was cut short
  bool duplicate_due_ : 1 = false;    // the next acknowledgment reports duplicate_
  bool closed_ : 1 = false;           // close(): nobody reads
  std::uint8_t duplicates_ = 0;       // duplicate acknowledgments without SACK (RFC 5681 section 3.2)
  std::uint16_t segment_size_ = 536;  // MSS to send: payload and options
  Sequence send_unacknowledged_;      // SND.UNA
  Sequence send_next_;                // SND.NXT
  std::uint32_t send_window_ = 0;     // SND.WND, octets
  std::uint32_t largest_window_ = 0;  // MAX.SND.WND
  Sequence window_sequence_;          // SND.WL1
  Sequence window_acknowledgment_;    // SND.WL2
  std::uint32_t peer_timestamp_ = 0;  // TS.Recent
  std::uint32_t timestamp_offset_ = 0;
  Sequence last_acknowledged_;  // Last.ACK.sent (RFC 7323 section 4.3)
  Sequence sample_from_;        // the next sample of the round trip is of what begins here or behind
  ReceiveWindow receive_;
  std::uint16_t headers_ = 40;
  std::uint8_t keepalive_sent_ = 0;
  bool probe_outstanding_ = false;  // a tail loss probe is not judged yet
  Acknowledging acknowledging_;
  SendQueue queue_;
  Time loss_deadline_ = never;
  Time idle_deadline_ = never;  // keepalive or FIN_WAIT_2
  Time reordering_at_ = never;  // when RACK looks again
  Time heard_at_{};             // the last acceptable segment
  Time peer_timestamp_at_{};    // when TS.Recent was taken (24 days, RFC 7323 section 5.5)
  Reassembly reassembly_;

  // --- what sending and its acknowledgments touch as well: two more lines ----------------------------------------
  Time sent_at_{};      // the last transmission of data
  Time timer_base_{};   // what the retransmission timer counts from
  Time progress_at_{};  // when the peer last acknowledged something new, or there was nothing to
  RoundTrip trip_;
  bool probe_was_repetition_ = false;  // TLP.is_retrans
  bool measured_since_probe_ = false;  // the round trip, since the last tail loss probe or the beginning
  Rack rack_;
  Cubic cubic_;

  // --- what only losses and rare events touch ------------------------------------------------------------------
  RateReduction reduction_;
  Undo undo_;
  Sequence recovery_end_;            // recovery lasts until this is acknowledged (RFC 6582's "recover")
  Sequence probe_end_;               // TLP.end_seq, when probe_outstanding_
  SackBlock duplicate_;              // D-SACK (RFC 2883)
  Sequence fin_at_;                  // the number of the peer's FIN
  Sequence initial_;                 // ISS
  Sequence peer_initial_;            // IRS
  std::uint32_t retransmitted_ = 0;  // segments
  std::uint16_t minimum_mtu_ = 576;
  std::uint16_t default_segment_size_ = 536;
  Cause cause_ = Cause::finished;
  std::uint8_t syn_repetitions_ = 0;
  ChallengeLimit challenges_;

 public:
  static constexpr std::size_t hot_size();
};

constexpr std::size_t Connection::hot_size() {
  return __builtin_offsetof(Connection, sent_at_);
}
static_assert(Connection::hot_size() <= 192);
static_assert(sizeof(Connection) <= 408, "an entry of the stack adds 72 octets to it");

}  // namespace steelyard::tcp
