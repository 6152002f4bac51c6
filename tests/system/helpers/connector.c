/* Many TCP connections quickly: connects, reads the server's greeting line, closes (or holds all open), counts
 * greetings.
 *
 * Runs inside the client's namespace; one thread, epoll. Prints one JSON line; with --hold a second one when standard
 * input ends: how many of the held connections are still alive. "slow" counts connects that took more than 900 ms: what
 * a lost or ignored SYN costs. Not a general benchmark: errors are counted by name and never retried.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_SOURCES 256
#define MAX_NAMES 64
#define SLOW_MS 900

typedef struct {
  int fd; /* -1: free */
  bool connected;
  bool greeted;
  double started_ms;
  char greeting[32];
  size_t length;
} Slot;

typedef struct {
  char name[32];
  long count;
} Tally;

typedef struct {
  struct sockaddr_storage to;
  socklen_t to_length;
  struct sockaddr_storage sources[MAX_SOURCES];
  int source_count;
  long count;
  long concurrency;
  double timeout_ms;
  bool hold;
  bool close_first;
} Options;

static Options options = {.count = 1, .concurrency = 1, .timeout_ms = 10000};
static Slot* slots;
static Tally greetings[MAX_NAMES], failures[MAX_NAMES];
static long opened, finished, slow;
static double longest_ms;
static int poller;

static double NowMs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void Count(Tally* tallies, const char* name) {
  for (int i = 0; i < MAX_NAMES; ++i) {
    if (tallies[i].count == 0) {
      snprintf(tallies[i].name, sizeof tallies[i].name, "%s", name);
    }
    if (strcmp(tallies[i].name, name) == 0) {
      ++tallies[i].count;
      return;
    }
  }
}

static void Print(const char* label, const Tally* tallies) {
  printf("\"%s\": {", label);
  for (int i = 0; i < MAX_NAMES && tallies[i].count > 0; ++i) {
    printf("%s\"%s\": %ld", i == 0 ? "" : ", ", tallies[i].name, tallies[i].count);
  }
  printf("}, ");
}

static bool ParseAddress(const char* text, int port, struct sockaddr_storage* out, socklen_t* length) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in* v4 = (struct sockaddr_in*)out;
  struct sockaddr_in6* v6 = (struct sockaddr_in6*)out;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *length = sizeof *v4;
    return true;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    *length = sizeof *v6;
    return true;
  }
  return false;
}

static void Finish(Slot* slot, const char* failure) {
  if (failure != NULL) {
    Count(failures, failure);
  }
  close(slot->fd);
  slot->fd = -1;
  ++finished;
}

static void Open(Slot* slot) {
  long number = opened++;
  memset(slot, 0, sizeof *slot);
  slot->started_ms = NowMs();
  slot->fd = socket(options.to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (slot->fd < 0) {
    Count(failures, strerrorname_np(errno));
    slot->fd = -1;
    ++finished;
    return;
  }
  int on = 1;
  setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.source_count > 0) {
    setsockopt(slot->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(slot->fd, (struct sockaddr*)&options.sources[number % options.source_count], options.to_length) != 0) {
      Finish(slot, strerrorname_np(errno));
      return;
    }
  }
  if (connect(slot->fd, (struct sockaddr*)&options.to, options.to_length) != 0 && errno != EINPROGRESS) {
    Finish(slot, strerrorname_np(errno));
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = slot};
  epoll_ctl(poller, EPOLL_CTL_ADD, slot->fd, &event);
}

/* True when the connection is established by now; a failed one is finished. */
static bool Connected(Slot* slot) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    Finish(slot, strerrorname_np(error));
    return false;
  }
  struct sockaddr_storage peer;
  length = sizeof peer;
  if (getpeername(slot->fd, (struct sockaddr*)&peer, &length) != 0) {
    return false;
  }
  slot->connected = true;
  double took = NowMs() - slot->started_ms;
  slow += took > SLOW_MS;
  longest_ms = took > longest_ms ? took : longest_ms;
  return true;
}

static void Greeted(Slot* slot) {
  slot->greeting[slot->length] = '\0';
  slot->greeted = true;
  Count(greetings, slot->greeting);
  if (options.hold) {
    ++finished;
  } else if (options.close_first) {
    Finish(slot, NULL);
  }
}

static void Ready(Slot* slot) {
  if (!slot->connected && !Connected(slot)) {
    return;
  }
  while (slot->fd >= 0 && !(slot->greeted && options.hold)) {
    char byte;
    ssize_t got = recv(slot->fd, &byte, 1, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    }
    if (got < 0) {
      Finish(slot, strerrorname_np(errno));
    } else if (got == 0) {
      Finish(slot, slot->greeted ? NULL : "closed-without-greeting");
    } else if (!slot->greeted && byte == '\n') {
      Greeted(slot);
    } else if (slot->length + 1 < sizeof slot->greeting) {
      slot->greeting[slot->length++] = byte;
    }
  }
}

static void ExpireOld(void) {
  double now = NowMs();
  for (long i = 0; i < options.concurrency; ++i) {
    Slot* slot = &slots[i];
    if (slot->fd >= 0 && !(slot->greeted && options.hold) && now - slot->started_ms > options.timeout_ms) {
      Finish(slot, slot->connected ? "no-greeting-in-time" : "connect-timeout");
    }
  }
}

static void RunAll(void) {
  double next_sweep = NowMs() + 100;
  long used = 0; /* with --hold a slot is used once; otherwise again as soon as it is free */
  while (finished < options.count) {
    for (long i = options.hold ? used : 0; i < options.concurrency && opened < options.count; ++i) {
      bool room = !options.hold || opened - finished < 4;
      if (slots[i].fd < 0 && room) {
        Open(&slots[i]);
        used = i + 1;
      }
    }
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, 100);
    for (int i = 0; i < ready; ++i) {
      Slot* slot = events[i].data.ptr;
      if (slot->fd >= 0) {
        Ready(slot);
      }
    }
    if (NowMs() > next_sweep) {
      ExpireOld();
      next_sweep = NowMs() + 100;
    }
  }
}

static void HoldUntilEndOfInput(void) {
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  long alive = 0;
  for (long i = 0; i < options.concurrency; ++i) {
    if (slots[i].fd >= 0) {
      alive += recv(slots[i].fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
      close(slots[i].fd);
    }
  }
  printf("{\"alive\": %ld}\n", alive);
}

static void ParseArguments(int argc, char** argv) {
  if (argc < 3 || !ParseAddress(argv[1], atoi(argv[2]), &options.to, &options.to_length)) {
    fprintf(stderr,
            "usage: connector ADDRESS PORT [--count N] [--concurrency N] [--timeout MS] [--from ADDRESS]... "
            "[--hold] [--close-first]\n");
    exit(2);
  }
  for (int i = 3; i < argc; ++i) {
    bool more = i + 1 < argc;
    if (strcmp(argv[i], "--hold") == 0) {
      options.hold = true;
    } else if (strcmp(argv[i], "--close-first") == 0) {
      options.close_first = true;
    } else if (more && strcmp(argv[i], "--count") == 0) {
      options.count = atol(argv[++i]);
    } else if (more && strcmp(argv[i], "--concurrency") == 0) {
      options.concurrency = atol(argv[++i]);
    } else if (more && strcmp(argv[i], "--timeout") == 0) {
      options.timeout_ms = atof(argv[++i]);
    } else if (more && strcmp(argv[i], "--from") == 0 && options.source_count < MAX_SOURCES) {
      socklen_t ignored;
      if (!ParseAddress(argv[++i], 0, &options.sources[options.source_count++], &ignored)) {
        fprintf(stderr, "connector: %s is no address\n", argv[i]);
        exit(2);
      }
    } else {
      fprintf(stderr, "connector: unknown argument %s\n", argv[i]);
      exit(2);
    }
  }
}

int main(int argc, char** argv) {
  ParseArguments(argc, argv);
  if (options.hold) {
    options.concurrency = options.count;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poller = epoll_create1(0);
  slots = calloc((size_t)options.concurrency, sizeof *slots);
  for (long i = 0; i < options.concurrency; ++i) {
    slots[i].fd = -1;
  }
  RunAll();
  printf("{\"attempted\": %ld, ", opened);
  Print("greeted", greetings);
  Print("failed", failures);
  printf("\"slow\": %ld, \"longest_ms\": %.1f}\n", slow, longest_ms);
  fflush(stdout);
  if (options.hold) {
    HoldUntilEndOfInput();
  }
  return 0;
}
