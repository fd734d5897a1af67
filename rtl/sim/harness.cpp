// The simulated system as a shared library: clock, registers and memories behind a C
// interface. scin/host/simulator.py is its only user; the functions below are its contract.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vscin.h"
#include "svdpi.h"
#include "verilated.h"
#include "verilated_syms.h"
#ifdef SCIN_COVERAGE
#include "verilated_cov.h"
#endif
#ifdef SCIN_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif defined(SCIN_TRACE_VCD)
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

// Verilator spells the "__" of an emitted port name "___05F".
#define HOST(name) host___05F##name

namespace {

constexpr uint64_t kResetCycles = 4;
constexpr int kAnswerLimit = 1000;  // cycles a register access may take

std::vector<uint8_t*> memories;
uint64_t bytes_per_row;

struct Simulation {
  VerilatedContext context;
  Vscin* top = nullptr;
  uint64_t cycle = 0;
  bool resetting = false;
#if defined(SCIN_TRACE_FST) || defined(SCIN_TRACE_VCD)
  Trace* trace = nullptr;
#endif

  void dump(int phase) {
#if defined(SCIN_TRACE_FST) || defined(SCIN_TRACE_VCD)
    if (trace) trace->dump(2 * cycle + phase);
#else
    (void)phase;
#endif
  }

  void step() {
    top->clk = 1;
    // Clocks that rest while they have nothing to do; what they drive then costs no time.
    top->reduce_clk = top->reducing || resetting;
    top->quantize_clk = top->quantizing || resetting;
    std::memcpy(&top->engine_clk, &top->awake, sizeof(top->awake));
    top->eval();
    dump(0);
    top->clk = 0;
    top->reduce_clk = 0;
    top->quantize_clk = 0;
    std::memset(&top->engine_clk, 0, sizeof(top->engine_clk));
    top->eval();
    dump(1);
    ++cycle;
  }

  // Show the design what is now at its host port; it looks at nothing else of it.
  void present() {
    top->host_clk = 1;
    top->eval();
    top->host_clk = 0;
    top->eval();
  }
};

}  // namespace

extern "C" {

void scin_faults_open(int links, int endpoints, uint64_t seed);  // rtl/sim/faults.cpp

void scin_memory_read(int index, long long row, svBitVecVal* data) {
  std::memcpy(data, memories[index] + row * bytes_per_row, bytes_per_row);
}

void scin_memory_write(int index, long long row, const svBitVecVal* data,
                       const svBitVecVal* strobe) {
  uint8_t* target = memories[index] + row * bytes_per_row;
  const auto* source = reinterpret_cast<const uint8_t*>(data);
  const auto* enabled = reinterpret_cast<const uint8_t*>(strobe);
  for (uint64_t i = 0; i < bytes_per_row; ++i)
    if (enabled[i / 8] >> (i % 8) & 1) target[i] = source[i];
}

// All of the system but its memories' contents; `cycle` goes on.
void scin_reset(Simulation* simulation) {
  simulation->resetting = true;
  simulation->top->rst = 1;
  for (uint64_t i = 0; i < kResetCycles; ++i) simulation->step();
  simulation->resetting = false;
  simulation->top->rst = 0;
  simulation->step();
}

// One simulation per process: DPI functions find their memories in `memories`.
Simulation* scin_open(int endpoints, uint64_t memory_bytes, uint64_t row_bytes, int seed,
                      int argc, const char** argv, const char* trace_path) {
  bytes_per_row = row_bytes;
  for (int i = 0; i < endpoints; ++i)
    memories.push_back(static_cast<uint8_t*>(std::calloc(memory_bytes, 1)));
  scin_faults_open(2 * endpoints, endpoints, seed);
  auto* simulation = new Simulation;
  simulation->context.randSeed(seed);
  simulation->context.commandArgs(argc, argv);
#if defined(SCIN_TRACE_FST) || defined(SCIN_TRACE_VCD)
  simulation->context.traceEverOn(true);
#endif
  simulation->top = new Vscin(&simulation->context);
#if defined(SCIN_TRACE_FST) || defined(SCIN_TRACE_VCD)
  if (trace_path) {
    simulation->trace = new Trace;
    simulation->top->trace(simulation->trace, 99);
    simulation->trace->open(trace_path);
  }
#else
  (void)trace_path;
#endif
  scin_reset(simulation);
  return simulation;
}

void scin_close(Simulation* simulation) {
#if defined(SCIN_TRACE_FST) || defined(SCIN_TRACE_VCD)
  if (simulation->trace) {
    simulation->trace->close();
    delete simulation->trace;
  }
#endif
  simulation->top->final();
#ifdef SCIN_COVERAGE
  simulation->context.coveragep()->write();
#endif
  delete simulation->top;
  delete simulation;
  for (uint8_t* memory : memories) std::free(memory);
  memories.clear();
}

uint64_t scin_cycle(Simulation* simulation) { return simulation->cycle; }

uint8_t* scin_memory(Simulation*, int index) { return memories[index]; }

// Sets every variable of this name, one of those that counters.vlt makes public; returns how many.
int scin_set(Simulation* simulation, const char* name, uint64_t value) {
  int found = 0;
  for (const auto& [path, scope] : *simulation->context.scopeNameMap()) {
    if (const VerilatedVar* variable = scope->varFind(name)) {
      std::memcpy(variable->datap(), &value, sizeof(value));
      ++found;
    }
  }
  simulation->top->eval();
  return found;
}

void scin_step(Simulation* simulation, uint64_t cycles) {
  for (uint64_t i = 0; i < cycles; ++i) simulation->step();
}

// AXI4-Lite accesses; they return the response code, or -1 if no answer came.
int scin_write(Simulation* simulation, uint32_t address, uint32_t value) {
  Vscin* top = simulation->top;
  top->HOST(awaddr) = address;
  top->HOST(wdata) = value;
  top->HOST(wstrb) = 0xF;
  top->HOST(awvalid) = top->HOST(wvalid) = 1;
  top->HOST(bready) = 1;
  simulation->present();
  for (int i = 0; i < kAnswerLimit; ++i) {
    const bool taken = top->HOST(awready) && top->HOST(wready);
    const bool answered = top->HOST(bvalid);
    const int response = top->HOST(bresp);
    simulation->step();
    if (taken) {
      top->HOST(awvalid) = top->HOST(wvalid) = 0;
      simulation->present();
    }
    if (answered) return response;
  }
  return -1;
}

// Consecutive registers, the next address offered as soon as the one before is taken.
int scin_write_many(Simulation* simulation, uint32_t address, const uint32_t* values,
                    uint64_t count) {
  Vscin* top = simulation->top;
  uint64_t sent = 0, answered = 0;
  int worst = 0;
  top->HOST(wstrb) = 0xF;
  top->HOST(bready) = 1;
  for (uint64_t i = 0; i < count * kAnswerLimit && answered < count; ++i) {
    const bool offers = sent < count;
    top->HOST(awvalid) = top->HOST(wvalid) = offers;
    if (offers) {
      top->HOST(awaddr) = address + 4 * sent;
      top->HOST(wdata) = values[sent];
    }
    simulation->present();
    const bool taken = offers && top->HOST(awready) && top->HOST(wready);
    const bool done = top->HOST(bvalid);
    if (done && top->HOST(bresp) != 0) worst = top->HOST(bresp);
    simulation->step();
    sent += taken;
    answered += done;
  }
  top->HOST(awvalid) = top->HOST(wvalid) = 0;
  simulation->present();
  return answered == count ? worst : -1;
}

int scin_read(Simulation* simulation, uint32_t address, uint32_t* value) {
  Vscin* top = simulation->top;
  top->HOST(araddr) = address;
  top->HOST(arvalid) = 1;
  top->HOST(rready) = 1;
  simulation->present();
  for (int i = 0; i < kAnswerLimit; ++i) {
    const bool taken = top->HOST(arready);
    const bool answered = top->HOST(rvalid);
    const int response = top->HOST(rresp);
    *value = top->HOST(rdata);
    simulation->step();
    if (taken) {
      top->HOST(arvalid) = 0;
      simulation->present();
    }
    if (answered) return response;
  }
  return -1;
}

// Read a register every `interval` cycles while (register & mask) == value, for at most
// `limit` cycles. Returns 1 once it differs, 0 if it never did, -1 on a bus error.
int scin_wait_while(Simulation* simulation, uint32_t address, uint32_t mask, uint32_t value,
                    uint64_t interval, uint64_t limit) {
  const uint64_t end = simulation->cycle + limit;
  while (simulation->cycle < end) {
    uint32_t found = 0;
    if (scin_read(simulation, address, &found) != 0) return -1;
    if ((found & mask) != value) return 1;
    scin_step(simulation, interval);
  }
  return 0;
}

}  // extern "C"
