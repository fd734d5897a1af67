// Faults of links and memories, drawn at random from seeds: the kinds of hw/spec/fault.py.
// scin/host/simulator.py sets their rates through scin_fault() below.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "svdpi.h"

namespace {

constexpr int kLongestBurst = 32;      // bits
constexpr int kLongestOutage = 1000;   // cycles
constexpr uint64_t kForEver = UINT64_MAX;

using Word = std::vector<uint32_t>;

// Something that goes wrong now and then; counts how often.
class Event {
 public:
  void set_rate(double rate) {
    rate_ = rate;
    left_ = -1;
  }
  bool armed() const { return rate_ > 0; }
  uint64_t count() const { return count_; }

  // Of `trials` more, which is the next that goes wrong, from 0; `trials` if none does.
  uint64_t next(uint64_t trials, std::mt19937_64& random) {
    if (!armed()) return trials;
    if (left_ < 0) left_ = draw(random);
    if (left_ >= static_cast<double>(trials)) {
      left_ -= static_cast<double>(trials);
      return trials;
    }
    const auto at = static_cast<uint64_t>(left_);
    left_ = -1;
    ++count_;
    return at;
  }
  bool happens(std::mt19937_64& random) { return next(1, random) == 0; }

 private:
  double rate_ = 0, left_ = -1;
  uint64_t count_ = 0;

  // Trials that go well before the next that does not: geometric.
  double draw(std::mt19937_64& random) const {
    const double uniform = std::uniform_real_distribution<double>(1e-18, 1.0)(random);
    return rate_ >= 1 ? 0 : std::floor(std::log(uniform) / std::log1p(-rate_));
  }
};

struct Line {
  std::mt19937_64 random;
  std::map<int, Event> events;
  uint64_t cycle = 0, down_until = 0, stuck_until = 0;
  std::deque<Word> waiting;

  bool happens(int kind) {
    auto event = events.find(kind);
    return event != events.end() && event->second.happens(random);
  }
  int up_to(int most) { return std::uniform_int_distribution<int>(1, most)(random); }
};

struct Memory {
  std::mt19937_64 random;
  Event stall;
  uint64_t cycle = 0, until = 0;
};

std::vector<Line> lines;
std::vector<Memory> frozen;

// The field `credit` is the top bit of a link flit, which is the top field of a word.
bool returns_credits(const Word& word, int bits) {
  return word[(bits - 1) / 32] >> ((bits - 1) % 32) & 1;
}

void flip(Word& word, int place) { word[place / 32] ^= uint32_t{1} << (place % 32); }

// What becomes of a word: nothing, itself, changed, or two of it.
void pass(Line& line, Word word, int bits) {
  if (line.cycle < line.down_until) return;
  if (line.cycle < line.stuck_until && returns_credits(word, bits)) return;
  if (line.happens(SCIN_FAULT_DROP)) return;
  auto rate = line.events.find(SCIN_FAULT_BER);
  if (rate != line.events.end() && rate->second.armed()) {
    uint64_t place = 0;
    while ((place += rate->second.next(bits - place, line.random)) < uint64_t(bits))
      flip(word, static_cast<int>(place++));
  }
  if (line.happens(SCIN_FAULT_BURST)) {
    const int length = line.up_to(kLongestBurst), first = line.up_to(bits - length + 1) - 1;
    flip(word, first);
    for (int place = first + 1; place < first + length; ++place)
      if (line.random() & 1) flip(word, place);
  }
  line.waiting.push_back(word);
  if (line.happens(SCIN_FAULT_DUPLICATE)) line.waiting.push_back(word);
}

}  // namespace

extern "C" {

void scin_faults_open(int links, int endpoints, uint64_t seed) {
  lines.assign(links, Line{});
  frozen.assign(endpoints, Memory{});
  for (int i = 0; i < links; ++i) lines[i].random.seed(seed * 1000003 + i);
  for (int i = 0; i < endpoints; ++i) frozen[i].random.seed(seed * 1000003 + 500 + i);
}

// Set the rate of a kind on one link, or of stalls at one endpoint.
void scin_fault(int kind, int index, double rate) {
  if (kind == SCIN_FAULT_STALL) {
    frozen[index].stall.set_rate(rate);
  } else if (kind == SCIN_FAULT_CUT) {
    lines[index].down_until = rate > 0 ? kForEver : 0;
  } else {
    lines[index].events[kind].set_rate(rate);
  }
}

uint64_t scin_fault_count(int kind) {
  uint64_t count = 0;
  for (auto& line : lines) {
    auto event = line.events.find(kind);
    if (event != line.events.end()) count += event->second.count();
  }
  if (kind == SCIN_FAULT_STALL)
    for (auto& memory : frozen) count += memory.stall.count();
  return count;
}

void scin_link(int index, int bits, svBit i_valid, const svBitVecVal* i_word, svBit* o_valid,
               svBitVecVal* o_word) {
  Line& line = lines[index];
  const size_t words = (bits + 31) / 32;
  ++line.cycle;
  if (line.happens(SCIN_FAULT_DOWN) && line.down_until != kForEver)
    line.down_until = line.cycle + line.up_to(kLongestOutage);
  if (line.happens(SCIN_FAULT_CREDITS)) line.stuck_until = line.cycle + line.up_to(kLongestOutage);
  if (i_valid) pass(line, Word(i_word, i_word + words), bits);
  *o_valid = !line.waiting.empty();
  if (*o_valid) {
    std::memcpy(o_word, line.waiting.front().data(), 4 * words);
    line.waiting.pop_front();
  }
}

// Whether the memory of an endpoint answers nothing in this cycle.
svBit scin_memory_frozen(int index) {
  Memory& memory = frozen[index];
  ++memory.cycle;
  if (memory.stall.happens(memory.random))
    memory.until =
        memory.cycle + std::uniform_int_distribution<int>(1, kLongestOutage)(memory.random);
  return memory.cycle < memory.until;
}

}  // extern "C"
