// Simulated boards as programs on a host see them: each has its serial port on a TCP socket.
//
//   boards NAMES BIT_PS [+verilator options]
//
// NAMES are the boards, separated by commas, in the order of the bits of serial_rx and
// serial_tx; BIT_PS is the length of a serial bit. Prints `NAME PORT` for each board, then
// `ready`. Standard input takes `break LINK` and `mend LINK`; its end ends the program. While
// nothing has moved for a while, time stands still until a host says something.

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <sstream>
#include <string>
#include <vector>

#include "Vboards.h"
#include "verilated.h"

namespace {

constexpr uint64_t kNever = ~uint64_t{0};
constexpr int kBits = 10;                          // start, 8 data, stop
constexpr uint64_t kSocketInterval = 256;          // time slots between two looks at sockets
constexpr uint64_t kQuietTime = 400'000'000;       // ps without traffic until time stands still
constexpr int kRestMilliseconds = 20;

struct Board {
  std::string name;
  int listener = -1, client = -1;
  std::deque<uint8_t> to_board;
  uint64_t next_drive = kNever, next_sample = kNever;
  int drive_left = 0, sample_left = 0;
  uint32_t drive_bits = 0, sample_bits = 0;
  bool rx = true;
};

int listen_somewhere(uint16_t* port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) || listen(fd, 1) ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size)) {
    std::perror("socket");
    std::exit(1);
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  *port = ntohs(address.sin_port);
  return fd;
}

// Returns true if a byte came.
bool serve_socket(Board& board) {
  if (board.client < 0) {
    board.client = accept(board.listener, nullptr, nullptr);
    if (board.client >= 0) fcntl(board.client, F_SETFL, O_NONBLOCK);
    return board.client >= 0;
  }
  uint8_t buffer[4096];
  const ssize_t count = recv(board.client, buffer, sizeof buffer, 0);
  if (count > 0) board.to_board.insert(board.to_board.end(), buffer, buffer + count);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
    close(board.client);
    board.client = -1;
  }
  return count > 0;
}

// The next bit towards the board, when its time has come.
void drive(Board& board, uint64_t now, uint64_t bit) {
  if (board.drive_left == 0 && !board.to_board.empty() && board.next_drive == kNever) {
    board.drive_bits = 1u << 9 | board.to_board.front() << 1;
    board.to_board.pop_front();
    board.drive_left = kBits;
    board.next_drive = now;
  }
  if (now < board.next_drive) return;
  if (board.drive_left == 0) {
    board.next_drive = kNever;
    return;
  }
  board.rx = board.drive_bits & 1;
  board.drive_bits >>= 1;
  --board.drive_left;
  board.next_drive = now + bit;
}

// Returns true if a byte was complete.
bool sample(Board& board, bool level, uint64_t now, uint64_t bit) {
  if (board.sample_left == 0) {
    if (!level) {
      board.sample_left = 8;
      board.sample_bits = 0;
      board.next_sample = now + bit + bit / 2;
    }
    return false;
  }
  if (now < board.next_sample) return false;
  if (board.sample_left == 1 && board.sample_bits >> 8) {  // the stop bit is under way
    board.sample_left = 0;
    board.next_sample = kNever;
    return false;
  }
  board.sample_bits |= uint32_t{level} << (8 - board.sample_left);
  if (--board.sample_left > 0) {
    board.next_sample = now + bit;
    return false;
  }
  const uint8_t byte = board.sample_bits;
  if (board.client >= 0 && send(board.client, &byte, 1, MSG_NOSIGNAL) != 1) {
    close(board.client);
    board.client = -1;
  }
  // Past the middle of the stop bit, then look for the next start.
  board.sample_left = 1;
  board.sample_bits = 1u << 8;
  board.next_sample = now + bit;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: boards NAMES BIT_PS\n");
    return 2;
  }
  const uint64_t bit = std::strtoull(argv[2], nullptr, 10);
  VerilatedContext context;
  context.commandArgs(argc, argv);
  Vboards top(&context);
  std::vector<Board> boards;
  std::stringstream names(argv[1]);
  for (std::string name; std::getline(names, name, ',');) {
    Board board;
    board.name = name;
    uint16_t port;
    board.listener = listen_somewhere(&port);
    std::printf("%s %u\n", name.c_str(), port);
    boards.push_back(board);
  }
  std::printf("ready\n");
  std::fflush(stdout);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);

  std::vector<pollfd> waits(boards.size() + 1);
  std::string line;
  uint64_t quiet_since = 0;
  top.serial_rx = (1u << boards.size()) - 1;
  top.broken = 0;
  top.eval();
  for (uint64_t slot = 0; !context.gotFinish(); ++slot) {
    uint64_t now = top.eventsPending() ? top.nextTimeSlot() : context.time() + bit;
    for (const Board& board : boards) {
      if (board.next_drive < now) now = board.next_drive;
      if (board.next_sample < now) now = board.next_sample;
    }
    context.time(now);
    uint32_t rx = 0;
    for (size_t i = 0; i < boards.size(); ++i) {
      drive(boards[i], now, bit);
      rx |= uint32_t{boards[i].rx} << i;
      if (boards[i].drive_left || boards[i].sample_left) quiet_since = now;
    }
    top.serial_rx = rx;
    top.eval();
    for (size_t i = 0; i < boards.size(); ++i)
      sample(boards[i], top.serial_tx >> i & 1, now, bit);

    if (slot % kSocketInterval) continue;
    for (Board& board : boards)
      if (serve_socket(board)) quiet_since = now;
    char buffer[256];
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count == 0) break;
    for (ssize_t i = 0; i < count; ++i) {
      if (buffer[i] != '\n') {
        line += buffer[i];
        continue;
      }
      std::stringstream words(line);
      std::string verb;
      unsigned link;
      if (words >> verb >> link) {
        if (verb == "break") top.broken = top.broken | 1u << link;
        if (verb == "mend") top.broken = top.broken & ~(1u << link);
        quiet_since = now;
      }
      line.clear();
    }
    if (now - quiet_since < kQuietTime) continue;
    waits[0] = {STDIN_FILENO, POLLIN, 0};
    for (size_t i = 0; i < boards.size(); ++i)
      waits[i + 1] = {boards[i].client < 0 ? boards[i].listener : boards[i].client, POLLIN, 0};
    poll(waits.data(), waits.size(), kRestMilliseconds);
  }
  top.final();
  return 0;
}
