#include "cli/render.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/value_text.h"

namespace mars::cli {

namespace {

using control::ClusterView;
using control::duration_text;
using control::ReplicaView;
using control::ResourceView;
using control::size_text;

constexpr size_t bar_width = 24;

std::string lag_text(const ReplicaView& replica) {
  if (replica.role == control::Role::primary) return "-";
  if (!replica.lag_bytes) return "?";
  if (*replica.lag_bytes == 0) return "0";
  std::string text = size_text(*replica.lag_bytes);
  return replica.lag_ms ? fmt::format("{}, {}", text, duration_text(*replica.lag_ms)) : text;
}

std::string contact_text(const ReplicaView& replica, const ClusterView& view) {
  if (replica.host == view.host) return "this host";
  if (!replica.last_contact_ns) return "never";
  uint64_t ago_ns = view.time_ns > *replica.last_contact_ns ? view.time_ns - *replica.last_contact_ns : 0;
  return fmt::format("{} ago", duration_text(ago_ns / 1'000'000));
}

std::string role_text(const ReplicaView& replica) {
  std::string role(name(replica.role));
  if (replica.wanted_role == replica.role) return role;
  return fmt::format("{} (wanted: {})", role, name(replica.wanted_role));
}

std::string device_text(const ReplicaView& replica) {
  if (!replica.is_device_open) return "-";
  return replica.device + (replica.is_in_use ? " (in use)" : "");
}

std::string transfer_text(const control::Transfer& transfer) {
  std::string text = fmt::format("{:<6} {}  {}", name(transfer.kind),
                                 bar_text(transfer.done_bytes, transfer.total_bytes), size_text(transfer.done_bytes));
  if (transfer.total_bytes > 0) text += " of " + size_text(transfer.total_bytes);
  if (transfer.bytes_per_second > 0) {
    text += fmt::format(", {}/s", size_text(transfer.bytes_per_second));
    uint64_t rest = transfer.total_bytes - std::min(transfer.total_bytes, transfer.done_bytes);
    const uint64_t rate = transfer.bytes_per_second;
    const uint64_t rest_ms = rest / rate * 1000 + rest % rate * 1000 / rate;
    if (rest > 0) text += fmt::format(", {} left", duration_text(rest_ms));
  }
  if (!transfer.source.empty()) text += fmt::format(", from {}", transfer.source);
  return text;
}

// What stands below the row of a replica.
void add_notes(const ReplicaView& replica, std::string_view indent, std::string& text) {
  for (const control::Transfer& transfer : replica.transfers) {
    text += fmt::format("{}{}\n", indent, transfer_text(transfer));
  }
  bool is_worrying = row(replica.state).weight >= control::Weight::attention;
  if (is_worrying || !replica.reason.empty()) {
    text += fmt::format("{}{}: {}\n", indent, name(replica.state),
                        replica.reason.empty() ? std::string(row(replica.state).help) : replica.reason);
  }
  if (!replica.next_step.empty()) text += fmt::format("{}what to do: {}\n", indent, replica.next_step);
}

std::string footer_text(const ClusterView& view) {
  std::string text;
  for (const control::HostView& host : view.hosts) {
    if (host.is_self || host.is_connected) continue;
    text += fmt::format("host {} is not connected{}{}\n", host.name, host.problem.empty() ? "" : ": ", host.problem);
  }
  for (const std::string& warning : view.warnings) text += fmt::format("note: {}\n", warning);
  return text;
}

std::string empty_text(const ClusterView& view) {
  if (!view.problem.empty()) {
    return fmt::format("{} is a member of a cluster, which could not be opened: {}\nwhat to do: {}\n", view.host,
                       view.problem, control::way_to_open);
  }
  if (view.cluster.empty()) {
    return fmt::format(
        "{} is in no cluster\nwhat to do: `marsadm create-cluster` here, or `marsadm join-cluster TOKEN` with a "
        "token from `marsadm invite` on a member\n",
        view.host);
  }
  return "there are no resources\nwhat to do: `marsadm create-resource NAME DISK`\n";
}

void line(std::string& text, std::string_view name, const std::string& value) {
  if (!value.empty()) text += fmt::format("    {:<14} {}\n", name, value);
}

// Of the newest write that it has applied.
std::string data_time_text(const ReplicaView& replica) {
  if (!replica.applied_time_ns) return {};
  std::string text = control::rfc3339(*replica.applied_time_ns).substr(0, 19) + "Z";
  if (replica.role == control::Role::primary || !replica.lag_bytes) return text;
  if (*replica.lag_bytes == 0) return text + ", as new as the primary's";
  return replica.lag_ms ? fmt::format("{}, {} older than the primary's", text, duration_text(*replica.lag_ms)) : text;
}

std::string positions_text(const ReplicaView& replica) {
  auto number = [](const std::optional<uint64_t>& lsn) { return lsn ? fmt::format("{}", *lsn) : std::string("?"); };
  return fmt::format("received {}, durable {}, applied {}", number(replica.received_lsn), number(replica.durable_lsn),
                     number(replica.applied_lsn));
}

std::string switches_text(const control::Switches& switches) {
  auto word = [](bool is_on) { return is_on ? "on" : "OFF"; };
  return fmt::format("attach {}, fetch {}, replay {}, sync {}", word(switches.attach), word(switches.fetch),
                     word(switches.replay), word(switches.sync));
}

void add_replica(const ReplicaView& replica, const ClusterView& view, std::string& text) {
  text += fmt::format("  {}: {}, {}\n", replica.host, role_text(replica), name(replica.state));
  add_notes(replica, "    ", text);
  line(text, "lag", lag_text(replica));
  line(text, "data as of", data_time_text(replica));
  line(text, "last contact", contact_text(replica, view));
  line(text, "log positions", positions_text(replica));
  if (replica.epoch) {
    line(text, "epoch",
         fmt::format("{} of {} ({}), {}", replica.epoch->number, replica.epoch->host, replica.epoch->cause,
                     replica.epoch->id));
  }
  line(text, "switches", switches_text(replica.switches));
  line(text, "disk", replica.disk);
  line(text, "device", replica.device.empty() ? "" : device_text(replica));
  line(text, "front end", replica.front_end);
  if (replica.log_bytes) {
    line(text, "log",
         size_text(*replica.log_bytes) +
             (replica.log_room_bytes ? ", room for " + size_text(*replica.log_room_bytes) + " more" : ""));
  }
  if (replica.dirty_bytes) line(text, "not on disk", size_text(*replica.dirty_bytes));
}

}  // namespace

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    text += '\n';
  }
  return text;
}

std::string bar_text(uint64_t done, uint64_t total) {
  if (total == 0) return fmt::format("[{}]      ", std::string(bar_width, '.'));
  double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  size_t filled = static_cast<size_t>(part * static_cast<double>(bar_width));
  // Full only when it is done: 99.9 % is not 100 %.
  int percent = done >= total ? 100 : std::min(99, static_cast<int>(part * 100));
  return fmt::format("[{}{}] {:>3} %", std::string(filled, '#'), std::string(bar_width - filled, '-'), percent);
}

std::string status_text(const ClusterView& view) {
  if (view.resources.empty()) return empty_text(view) + footer_text(view);
  std::vector<std::vector<std::string>> rows = {{"RESOURCE", "HOST", "ROLE", "STATE", "LAG", "LAST CONTACT", "DEVICE"}};
  std::vector<std::string> notes = {""};
  for (const ResourceView& resource : view.resources) {
    for (const ReplicaView& replica : resource.replicas) {
      rows.push_back({resource.name, replica.host, role_text(replica), std::string(name(replica.state)),
                      lag_text(replica), contact_text(replica, view), device_text(replica)});
      add_notes(replica, "    ", notes.emplace_back());
    }
    for (const std::string& alarm : resource.alarms) notes.back() += fmt::format("    ALARM: {}\n", alarm);
  }
  // The notes go between the lines of the table, which is aligned as a whole.
  std::string table = table_text(rows);
  std::string text;
  size_t start = 0;
  for (const std::string& note : notes) {
    size_t end = table.find('\n', start) + 1;
    text += table.substr(start, end - start) + note;
    start = end;
  }
  return text + footer_text(view);
}

std::string view_text(const ClusterView& view) {
  std::string text;
  for (const ResourceView& resource : view.resources) {
    text += fmt::format("{}: {}, blocks of {}, {}\n", resource.name, size_text(resource.size_bytes),
                        resource.block_bytes, resource.uuid);
    text += fmt::format("  wanted primary: {}\n", resource.designated.empty() ? "none" : resource.designated);
    for (const std::string& alarm : resource.alarms) text += fmt::format("  ALARM: {}\n", alarm);
    for (const ReplicaView& replica : resource.replicas) add_replica(replica, view, text);
  }
  if (view.memory_bytes && view.memory_bytes_max) {
    text += fmt::format("memory of writes on {}: {} of {} in use\n", view.host, size_text(*view.memory_bytes),
                        size_text(*view.memory_bytes_max));
  }
  return text;
}

std::string progress_text(const control::Progress& progress) {
  if (progress.total == 0 && progress.done == 0) return progress.text;
  std::string amount = progress.total >= 4096 || progress.done >= 4096
                           ? fmt::format("{} of {}", size_text(progress.done), size_text(progress.total))
                           : fmt::format("{} of {}", progress.done, progress.total);
  if (progress.total == 0) amount = size_text(progress.done);
  return fmt::format("{}  {}  {}", bar_text(progress.done, progress.total), amount, progress.text);
}

}  // namespace mars::cli
