/* A wire between two TAPs, each in a network namespace of its own, with seeded delay, loss, duplication and reordering:
 * what netem is where the kernel has it.
 *
 *   wire NAMESPACE TAP NAMESPACE TAP [delay_us=N] [loss=PPM] [reorder=PPM] [duplicate=PPM] [rate=BYTES_PER_S]
 *        [queue=PACKETS] [seed=N]
 *
 * Both ways are alike. A reordered frame is late by another half of the delay. With a rate frames leave one after the
 * other, and what finds `queue` frames before it is lost. Prints "ready" when both TAPs are up; ends with its parent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 2048, MOST = 16384, BURST = 64 };

struct frame {
  uint64_t due_ns;
  uint64_t number; /* among frames that are due at the same time the first one goes first */
  uint16_t length;
  uint8_t bytes[FRAME];
};

struct direction {
  int from, to;
  struct frame* heap[MOST];
  size_t count;
  uint64_t free_ns; /* when the sender is free again */
  uint64_t sent, lost;
};

static uint64_t delay_ns, loss, reorder, duplicate, rate, queue_limit = MOST, seed = 1;
static uint64_t next_number;
static struct frame* spare[2 * MOST];
static size_t spares;

static void fail(const char* what) {
  fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* xorshift64* */
static uint64_t draw(void) {
  seed ^= seed >> 12;
  seed ^= seed << 25;
  seed ^= seed >> 27;
  return seed * UINT64_C(2685821657736338717);
}

static int happens(uint64_t ppm) {
  return ppm != 0 && draw() % 1000000 < ppm;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int open_tap(const char* namespace, const char* name) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  const int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) != 0)
    fail(path);
  close(there);
  const int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tap < 0)
    fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(tap, TUNSETIFF, &request) != 0)
    fail(name);
  return tap;
}

static int before(const struct frame* left, const struct frame* right) {
  return left->due_ns != right->due_ns ? left->due_ns < right->due_ns : left->number < right->number;
}

static void push(struct direction* way, struct frame* frame) {
  size_t at = way->count++;
  for (; at > 0 && before(frame, way->heap[(at - 1) / 2]); at = (at - 1) / 2)
    way->heap[at] = way->heap[(at - 1) / 2];
  way->heap[at] = frame;
}

static struct frame* pop(struct direction* way) {
  struct frame* top = way->heap[0];
  struct frame* last = way->heap[--way->count];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= way->count)
      break;
    if (child + 1 < way->count && before(way->heap[child + 1], way->heap[child]))
      ++child;
    if (!before(way->heap[child], last))
      break;
    way->heap[at] = way->heap[child];
    at = child;
  }
  way->heap[at] = last;
  return top;
}

static void take(struct direction* way, const uint8_t* bytes, uint16_t length, uint64_t now) {
  if (spares == 0 || way->count >= MOST || way->count >= queue_limit) {
    ++way->lost;
    return;
  }
  uint64_t leaves = now;
  if (rate != 0) {
    if (way->free_ns < now)
      way->free_ns = now;
    way->free_ns += (uint64_t)length * 1000000000 / rate;
    leaves = way->free_ns;
  }
  struct frame* frame = spare[--spares];
  frame->due_ns = leaves + delay_ns + (happens(reorder) ? delay_ns / 2 : 0);
  frame->number = next_number++;
  frame->length = length;
  memcpy(frame->bytes, bytes, length);
  push(way, frame);
}

static void receive(struct direction* way, uint64_t now) {
  uint8_t bytes[FRAME];
  for (int count = 0; count < BURST; ++count) {
    const ssize_t length = read(way->from, bytes, sizeof bytes);
    if (length <= 0)
      return;
    if (happens(loss)) {
      ++way->lost;
      continue;
    }
    take(way, bytes, (uint16_t)length, now);
    if (happens(duplicate))
      take(way, bytes, (uint16_t)length, now);
  }
}

static void send_due(struct direction* way, uint64_t now) {
  while (way->count > 0 && way->heap[0]->due_ns <= now) {
    struct frame* frame = pop(way);
    /* A TAP that is not up, or whose reader is slow, loses frames as a wire's end does. */
    if (write(way->to, frame->bytes, frame->length) == frame->length)
      ++way->sent;
    else
      ++way->lost;
    spare[spares++] = frame;
  }
}

int main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: wire NAMESPACE TAP NAMESPACE TAP [NAME=NUMBER]...\n");
    return 2;
  }
  for (int place = 5; place < argc; ++place) {
    char name[32];
    unsigned long long value;
    if (sscanf(argv[place], "%31[a-z_]=%llu", name, &value) != 2)
      fail(argv[place]);
    if (!strcmp(name, "delay_us"))
      delay_ns = value * 1000;
    else if (!strcmp(name, "loss"))
      loss = value;
    else if (!strcmp(name, "reorder"))
      reorder = value;
    else if (!strcmp(name, "duplicate"))
      duplicate = value;
    else if (!strcmp(name, "rate"))
      rate = value;
    else if (!strcmp(name, "queue"))
      queue_limit = value;
    else if (!strcmp(name, "seed"))
      seed = value * 2 + 1;
    else {
      errno = EINVAL;
      fail(name);
    }
  }
  static struct direction ways[2];
  ways[0].from = ways[1].to = open_tap(argv[1], argv[2]);
  ways[1].from = ways[0].to = open_tap(argv[3], argv[4]);
  for (; spares < 2 * MOST; ++spares) {
    spare[spares] = malloc(sizeof(struct frame));
    if (!spare[spares])
      fail("memory");
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    uint64_t now = now_ns(), due = UINT64_MAX;
    for (int way = 0; way < 2; ++way) {
      receive(&ways[way], now);
      send_due(&ways[way], now);
      if (ways[way].count > 0 && ways[way].heap[0]->due_ns < due)
        due = ways[way].heap[0]->due_ns;
    }
    now = now_ns();
    const uint64_t wait = due == UINT64_MAX ? 100000000 : due > now ? due - now : 0;
    const struct timespec limit = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
    struct pollfd ends[2] = {{.fd = ways[0].from, .events = POLLIN}, {.fd = ways[1].from, .events = POLLIN}};
    ppoll(ends, 2, &limit, NULL);
  }
}
