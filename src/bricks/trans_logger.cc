#include "bricks/trans_logger.h"

#include "base/probe.h"

#include <algorithm>
#include <cstring>

namespace mars::bricks {

using namespace std::chrono_literals;
using xio::Op;
using xio::Step;

namespace {

RecordOp record_op(Op op) {
  switch (op) {
    case Op::discard:
      return RecordOp::discard;
    case Op::write_zeroes:
      return RecordOp::write_zeroes;
    default:
      return RecordOp::write;
  }
}

}  // namespace

namespace {

// Rounds are so short that memory becomes free in several portions.
WriteBackOptions fit_to_memory(WriteBackOptions options, const Pool& pool) {
  const uint64_t portion = pool.pages() * Pool::page_bytes / 8;
  options.round_bytes_max = std::min(options.round_bytes_max, std::max<uint64_t>(portion, options.run_bytes_max));
  options.zeroes_round_bytes_max = std::min(options.zeroes_round_bytes_max, 2 * options.round_bytes_max);
  return options;
}

}  // namespace

TransLogger::TransLogger(io::Machine& machine, Pool& pool, Log& log, StateFile& state, xio::Output& data,
                         TransLoggerOptions options)
    : Output(machine.ready(), room_for<Gather>),
      machine_(machine),
      pool_(pool),
      log_(log),
      options_(options),
      below_(xio::On<&TransLogger::passed>{}, this, this, data, "data"),
      parts_(xio::On<&TransLogger::part_left>{}, this, nullptr, data, "data_parts"),
      newest_(&Admitted::newest_pieces, [this](Admitted& request) { release(request); }),
      write_back_(
          machine, data, state, fit_to_memory(options.write_back, pool),
          [this](Admitted& request, uint64_t offset, uint64_t bytes) { newest_.remove(request, offset, bytes); },
          [this](Admitted& request) { release(request); }),
      writer_(machine, log, options.batches,
              [this](std::vector<Admitted*>& requests, const format::BatchHeader& batch, Status status) {
                on_logged(requests, batch, status);
              }),
      answered_(machine.ready()) {
  memory_.logger = this;
  memory_.freed = &TransLogger::on_memory;
  write_back_.on_failed([this] {
    if (!waiting_.empty()) on_memory(memory_);
  });
  retry_.logger = this;
  retry_.run = [](Job& job) {
    auto& retry = static_cast<Retry&>(job);
    retry.is_queued = false;
    retry.logger->retry_waiting();
  };
}

TransLogger::~TransLogger() {
  CHECK(under_way_ == 0);
  CHECK(stock_.used() == 0 && !retry_.is_queued);
}

void TransLogger::start(Tip applied, uint64_t admitted) {
  admitted_ = durable_sequence_ = admitted;
  write_back_.start(applied);
  is_started_ = true;
}

void TransLogger::set_durability(bool write_cache, io::Duration flush_interval) {
  if (options_.write_cache && !write_cache) writer_.hurry();
  options_.write_cache = write_cache;
  writer_.set_flush_interval(flush_interval);
}

xio::Info TransLogger::info() const {
  xio::Info info = below_.info();
  info.bytes = options_.bytes;
  info.block_bytes = options_.block_bytes;
  info.atomic_bytes = options_.block_bytes;  // a get may be shortened behind any page
  info.alignment = 1;
  info.flush = xio::Support::native;
  info.fua = xio::Support::native;
  // A discard means zeroes everywhere (D16); it is announced where the disk itself can do it.
  info.write_zeroes = xio::Support::native;
  return info;
}

void TransLogger::enter(xio::Request& request) {
  ++under_way_;
  if (!is_started_) return answer(request, Status::gone);
  if (request.step == Step::get) return get(request);
  switch (request.op) {
    case Op::read:
      return read(request);
    case Op::flush:
      return flush(request);
    default:
      return change(request);
  }
}

void TransLogger::answer(xio::Request& request, Status status) {
  if (--under_way_ == 0) answered_.notify();
  complete(request, status);
}

// ---- changes

// A write gets its buffer from the pool, so that its bytes never move again; a read brings its own.
void TransLogger::get(xio::Request& request) {
  if (request.op != Op::write) return answer(request, Status::ok);
  change(request);
}

// In the order of arrival; who finds no memory waits for write-back.
void TransLogger::change(xio::Request& request) {
  if (log_.failed()) return answer(request, Status::io_error);
  if (request.supplier == this) return admit(request, *static_cast<Admitted*>(request.buffer));
  Admitted* mine = waiting_.empty() ? take_memory(request) : nullptr;
  if (mine != nullptr) return admit(request, *mine);
  if (write_back_.failed() != Status::ok) return answer(request, Status::io_error);  // none will become free (D14)
  waiting_.push(request);
  wait_for_memory();
}

// Memory becomes free when what is in it is durable and written back. While there is something durable to write, the
// log keeps its own pace: a flush for each small batch would only hold up both disks.
void TransLogger::wait_for_memory() {
  reached("pool: a request waits for memory");
  if (!memory_.is_linked()) pool_.wait(memory_);
  write_back_.hurry();
  if (write_back_.is_starving()) writer_.hurry();
}

Admitted* TransLogger::take_memory(xio::Request& request) {
  const size_t payload = request.op == Op::write ? request.bytes : 0;
  // Whose data disk has failed frees nothing any more, and leaves half of the pool to the other resources (D14).
  if (write_back_.failed() != Status::ok && 2 * share_.pages >= pool_.pages()) return nullptr;
  // A get is shortened where memory is free and not in one piece; who brings its own bytes waits for one.
  const size_t payload_min = request.step == Step::get ? std::min<size_t>(payload, Pool::page_bytes) : payload;
  auto lease = pool_.try_take(payload, payload_min, share_);
  if (!lease) return nullptr;
  Admitted& mine = stock_.take();
  mine.lease = *lease;
  mine.data = payload == 0 ? nullptr : pool_.data(lease->first_page);
  mine.pins = 1;
  return &mine;
}

// A get is answered with its buffer. Anything else goes into the order of the log: from here on it has its place there,
// reads see it, and a successor process finds it.
void TransLogger::admit(xio::Request& request, Admitted& mine) {
  if (request.step == Step::get) {
    const uint32_t there = mine.lease.pages * Pool::page_bytes;
    if (there < request.bytes) reached("pool: a get is shortened");
    request.bytes = std::min(request.bytes, there);
    request.data = mine.data;
    request.supplier = this;
    request.buffer = &mine;
    return answer(request, Status::ok);
  }
  const bool is_supplied = request.supplier == this;
  CHECK(mine.sequence == 0 && (request.op != Op::write || request.bytes <= mine.lease.pages * Pool::page_bytes));
  mine.op = record_op(request.op);
  mine.fua = request.fua;
  mine.volume = options_.volume;
  mine.offset = request.offset;
  mine.bytes = request.bytes;
  mine.sequence = ++admitted_;
  if (request.op == Op::write) {
    CHECK(mine.data != nullptr);
    if (!is_supplied) std::memcpy(mine.data, request.data, request.bytes);
    mine.payload_hash = hash({mine.data, request.bytes});
  }
  seal(mine);
  mine.is_logging = true;
  newest_.insert(mine);
  if (!is_supplied) --mine.pins;
  const bool waits = request.fua || !options_.write_cache || !pool_.is_persistent();
  if (waits) {
    keep(request, Pending{mine.sequence});
    unanswered_.push(request);
  } else {
    answer(request, Status::ok);
  }
  writer_.add(mine, waits);
  if (pool_.free_pages() < pool_.pages() / 2) write_back_.hurry();
}

void TransLogger::seal(const Admitted& mine) {
  format::PoolRecord record;
  record.resource = log_.options().resource;
  record.epoch = log_.tail().position.epoch;
  record.sequence = mine.sequence;
  record.op = mine.op;
  record.fua = mine.fua;
  record.volume = mine.volume;
  record.offset = mine.offset;
  record.length = mine.bytes;
  if (mine.data != nullptr) {
    record.first_page = mine.lease.first_page;
    record.payload_bytes = static_cast<uint32_t>(mine.bytes);
    record.payload_hash = mine.payload_hash;
  }
  pool_.seal(mine.lease.slot, record);
}

void TransLogger::take_back(xio::Request& request) {
  Admitted& mine = *static_cast<Admitted*>(request.buffer);
  --mine.pins;
  release(mine);
}

void TransLogger::release(Admitted& request) {
  if (request.is_needed()) return;
  pool_.clear(request.lease.slot);
  const PoolLease lease = request.lease;
  stock_.give_back(request);
  pool_.give_back(lease, share_);
}

void TransLogger::on_memory(PoolWaiter& waiter) {
  TransLogger& self = *static_cast<MemoryWaiter&>(waiter).logger;
  if (self.retry_.is_queued) return;
  self.retry_.is_queued = true;
  self.ready().push(self.retry_);
}

void TransLogger::retry_waiting() {
  while (xio::Request* request = waiting_.front()) {
    Admitted* mine = is_started_ && !log_.failed() ? take_memory(*request) : nullptr;
    const bool is_hopeless = !is_started_ || log_.failed() || write_back_.failed() != Status::ok;
    if (mine == nullptr && !is_hopeless) return wait_for_memory();
    waiting_.pop();
    if (mine != nullptr) {
      admit(*request, *mine);
    } else {
      answer(*request, is_started_ ? Status::io_error : Status::gone);
    }
  }
}

// ---- durability

// Covers what was admitted before it came, on every connection and whether it was answered or not (D7).
void TransLogger::flush(xio::Request& request) {
  if (log_.failed()) return answer(request, Status::io_error);
  writer_.note_flush();
  if (durable_sequence_ >= admitted_) return answer(request, Status::ok);
  keep(request, Pending{admitted_});
  unanswered_.push(request);
  writer_.hurry();
}

void TransLogger::on_logged(std::vector<Admitted*>& requests, const format::BatchHeader& batch, Status status) {
  if (status == Status::ok) {
    durable_sequence_ = batch.identity.admitted;
    write_back_.add(requests, batch);
    for (Admitted* request : requests) {
      request->is_logging = false;
      release(*request);
    }
  } else {
    // Acknowledged perhaps, and not in the log: stays in memory for reads, and in the pool for whoever comes next.
    unlogged_.insert(unlogged_.end(), requests.begin(), requests.end());
    if (!waiting_.empty()) on_memory(memory_);
  }
  while (xio::Request* request = unanswered_.front()) {
    if (status == Status::ok && kept<Pending>(*request).sequence > durable_sequence_) break;
    unanswered_.pop();
    answer(*request, status == Status::ok ? Status::ok : Status::io_error);
  }
  answered_.notify();
}

Task<Result<Lsn>> TransLogger::durable_admitted(io::Instant deadline) {
  const uint64_t target = admitted_;
  while (durable_sequence_ < target) {
    if (log_.failed()) co_return failure(Status::io_error, "the log disk failed");
    if (!is_started_) co_return failure(Status::gone);
    if (log_.needs_space()) co_return failure(Status::no_space, "the log disk is full");
    if (machine_.now() >= deadline) co_return failure(Status::timed_out);
    writer_.hurry();
    // That the log is full is told elsewhere.
    co_await io::wait_until(machine_, answered_, machine_.now() + 100ms);
  }
  co_return log_.durable().position.lsn;
}

// ---- life

Task<Status> TransLogger::adopt(bool accepts_gap) {
  auto inherited = pool_.take_inherited(log_.options().resource, admitted_);
  uint64_t expected = admitted_;
  const auto is_next = [&](const Pool::Inherited& one) {
    return one.record.sequence == ++expected && one.record.epoch == log_.tail().position.epoch;
  };
  const auto gap = std::ranges::find_if_not(inherited, is_next);
  if (!inherited.empty()) reached("pool: acknowledged writes of a predecessor");
  if (gap != inherited.end()) {
    reached("pool: one of them is missing");
    if (!accepts_gap) {
      for (const Pool::Inherited& one : inherited) pool_.leave(one.lease);
      co_return Status::damaged;
    }
    std::for_each(gap, inherited.end(), [this](const Pool::Inherited& one) {
      pool_.clear(one.lease.slot);
      pool_.give_back(one.lease);
    });
    inherited.erase(gap, inherited.end());
  }
  for (const Pool::Inherited& one : inherited) {
    Admitted& mine = stock_.take();
    mine.lease = one.lease;
    share_.add(one.lease);
    mine.op = one.record.op;
    mine.fua = one.record.fua;
    mine.volume = one.record.volume;
    mine.offset = one.record.offset;
    mine.bytes = one.record.length;
    mine.sequence = admitted_ = one.record.sequence;
    mine.data = one.record.payload_bytes == 0 ? nullptr : pool_.data(one.lease.first_page);
    mine.payload_hash = one.record.payload_hash;
    mine.is_logging = true;
    newest_.insert(mine);
    writer_.add(mine, false);
  }
  // Room is made beside, by whoever keeps the log: they are in no other place but the pool.
  while (durable_sequence_ < admitted_) {
    if (log_.failed()) co_return Status::io_error;
    writer_.hurry();
    co_await answered_.wait();
  }
  co_return Status::ok;
}

Task<Status> TransLogger::drain(io::Instant deadline) {
  auto durable = co_await durable_admitted(deadline);
  while (durable && under_way_ > 0) {
    if (machine_.now() >= deadline) co_return Status::timed_out;
    co_await io::wait_until(machine_, answered_, std::min(deadline, machine_.now() + std::chrono::seconds(1)));
    durable = co_await durable_admitted(deadline);
  }
  // Where the log takes nothing more, what it has is on its way to the disk all the same.
  const Status written = co_await write_back_.drain(deadline);
  co_return durable || written == Status::timed_out ? written : durable.error().status;
}

Task<void> TransLogger::stop() {
  is_started_ = false;
  memory_.unlink();
  retry_waiting();
  while (xio::Request* request = unanswered_.pop()) answer(*request, Status::gone);
  writer_.hurry();
  while (!writer_.idle() || under_way_ > 0 || retry_.is_queued) {
    if (log_.needs_space()) log_.give_up();
    co_await io::wait_until(machine_, answered_, machine_.now() + 10ms);
  }
  co_await write_back_.stop();
  leave_unlogged();
  for (auto piece = newest_.next(0); piece.owner != nullptr; piece = newest_.next(0)) {
    newest_.remove(*piece.owner, piece.offset, piece.bytes);
  }
}

// Acknowledged, and not in the log: their memory is left as a successor will find it.
void TransLogger::leave_unlogged() {
  for (Admitted* request : std::exchange(unlogged_, {})) {
    ++request->pins;  // removing it would clear its slot
    request->is_logging = false;
    newest_.remove(*request, request->offset, request->bytes);
    --request->pins;
    const PoolLease lease = request->lease;
    stock_.give_back(*request);
    share_.remove(lease);
    pool_.leave(lease);
  }
}

}  // namespace mars::bricks
