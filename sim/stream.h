// SimStream and SimListener: what a process holds of its connections (io::Stream, io::Listener).
#pragma once

#include <deque>
#include <string>

#include "base/sync.h"
#include "io/network.h"
#include "sim/machine.h"
#include "sim/network.h"

namespace mars::sim {

class SimStream : public io::Stream, public Mortal {
 public:
  SimStream(SimMachine& machine, Fabric::Connection& connection, int side);
  ~SimStream() override;

  Task<Result<size_t>> read_some(std::span<std::byte> into) override;
  Task<Status> write(std::span<const io::Buffer> buffers) override;
  Task<Result<io::PeerIdentity>> secure(io::TlsConfig config, io::Side side) override;
  const io::PeerIdentity& peer() const override { return peer_; }
  io::Address local_address() const override { return local_; }
  io::Address remote_address() const override { return remote_; }
  bool is_local() const override { return is_unix_; }
  bool has_peer_left() const override;
  void close() override;
  void on_death() override;

  // The fabric's news: bytes, an end, a credit, a reset.
  void changed() {
    readable_.notify();
    writable_.notify();
  }

 private:
  Fabric& fabric() const;
  // Null when nothing can be done with it any more.
  Fabric::Connection* usable() const;
  void leave(Fabric::Farewell farewell);

  SimMachine& machine_;
  uint64_t id_;
  int side_;
  bool is_unix_;
  bool is_closed_ = false;
  io::Address local_;
  io::Address remote_;
  io::PeerIdentity peer_;
  Notifier readable_;
  Notifier writable_;
};

class SimListener : public io::Listener, public Mortal {
 public:
  SimListener(SimMachine& machine, io::Address address, std::string service);
  ~SimListener() override { close(); }

  Task<Result<std::unique_ptr<io::Stream>>> accept() override;
  io::Address address() const override { return address_; }
  void close() override;
  void on_death() override { close(); }

  SimMachine& machine() { return machine_; }
  void arrived(uint64_t connection) {
    waiting_.push_back(connection);
    arrival_.notify();
  }

 private:
  SimMachine& machine_;
  io::Address address_;
  std::string service_;
  bool is_closed_ = false;
  std::deque<uint64_t> waiting_;
  Notifier arrival_;
};

}  // namespace mars::sim
